"""Health and metrics: open to all, since probes and scrapers hold no key."""

import asyncio
import logging
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.http.orchestrator import Here, Orchestrator
from services.errors import RaglineError

log = logging.getLogger(__name__)

INDEX_TIMEOUT_S = 5.0
router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Report that the process is up."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(here: Here, response: Response) -> dict[str, Any]:
    """Report the index and the three services; 503 where nothing can be answered, since the index cannot be reached.

    Without a service answers are degraded, and say so.
    """
    names, clients = zip(*here.services.items(), strict=True)
    index, *healthy = await asyncio.gather(_index_answers(here), *(client.healthy() for client in clients))
    response.status_code = 200 if index else 503
    status = "unavailable" if not index else "ok" if all(healthy) else "degraded"
    return {"status": status, "index": index, "services": dict(zip(names, healthy, strict=True))}


async def _index_answers(here: Orchestrator) -> bool:
    try:
        async with asyncio.timeout(INDEX_TIMEOUT_S):
            await here.library.names()
    except (TimeoutError, RaglineError) as exc:
        log.warning("the index cannot be reached: %s", exc)
        return False
    return True


@router.get("/metrics")
async def metrics(here: Here) -> Response:
    """Prometheus."""
    return Response(generate_latest(here.metrics.registry), media_type=CONTENT_TYPE_LATEST)
