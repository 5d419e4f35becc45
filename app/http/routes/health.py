"""Health and metrics: open to all, since probes and scrapers hold no key."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.http.orchestrator import Here

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Report that the process is up."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(here: Here, response: Response) -> dict[str, Any]:
    """Report the three services; 503 while one is down."""
    names, clients = zip(*here.services.items(), strict=True)
    healthy = dict(zip(names, await asyncio.gather(*(client.healthy() for client in clients)), strict=True))
    if not all(healthy.values()):
        response.status_code = 503
    return {"status": "ok" if all(healthy.values()) else "degraded", "services": healthy}


@router.get("/metrics")
async def metrics(here: Here) -> Response:
    """Prometheus."""
    return Response(generate_latest(here.metrics.registry), media_type=CONTENT_TYPE_LATEST)
