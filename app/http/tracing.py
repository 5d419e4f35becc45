"""Traces a request from its first stage to its line in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from app.answer.trace import Trace
from app.http.bulkheads import MeasuredAdmission
from app.http.orchestrator import Orchestrator
from services.errors import RaglineError

log = logging.getLogger(__name__)


@contextmanager
def traced(request: Request, text: str, here: Orchestrator) -> Iterator[Trace]:
    """Trace a request, and write one line about it at its end."""
    trace = Trace.starting(here.settings.ask.deadline_s)
    try:
        yield trace
    except RaglineError as exc:
        trace.outcome = exc.type
        raise
    finally:
        fields = {
            "request_id": request.state.request_id,
            "route": request.scope["path"],
            "outcome": trace.outcome,
            "degraded": trace.degraded,
            "timings_ms": trace.finish(),
            **({"question": text} if here.settings.server.log_questions else {}),
        }
        log.info(" ".join(f"{name}={value!r}" for name, value in fields.items()), extra=fields)


@contextmanager
def failing(trace: Trace) -> Iterator[None]:
    """Note in the trace how a stream failed; the log's line of its request is written after it."""
    try:
        yield
    except Exception as exc:
        trace.outcome = exc.type if isinstance(exc, RaglineError) else "failed"
        raise


def concluded(trace: Trace, outcome: str, here: Orchestrator, places: MeasuredAdmission) -> dict[str, float]:
    """Count an answer in the metrics, and among those that its kind's places are measured by; return its timings."""
    timings = trace.finish()
    trace.outcome = outcome
    here.metrics.record(trace)
    places.answered()
    return timings
