"""Server-sent events as vLLM writes them: `data: JSON`, errors as one more event, and [DONE] in any case."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from services.errors import RaglineError
from services.http.errors import internal_error

log = logging.getLogger(__name__)

_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
STREAM = {"content": {"text/event-stream": {"itemSchema": _EVENT}}}
"""For a route's `responses[200]`: one event's schema, as FastAPI writes it (OpenAPI 3.2)."""

UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Headers by which proxies pass events on as they come."""


async def event_stream(events: AsyncGenerator[dict[str, Any], None], *, named: bool = False) -> StreamingResponse:
    """Awaits the first event, so that an earlier failure still gets its own status. Raises RaglineError.

    `named`: each event is named by its "type", as those of the Responses API are.
    """
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise
    return StreamingResponse(_lines(first, events, named=named), media_type="text/event-stream", headers=UNBUFFERED)


async def _lines(
    first: dict[str, Any], events: AsyncGenerator[dict[str, Any], None], *, named: bool
) -> AsyncIterator[bytes]:
    yield _line(first, named=named)
    try:
        async for event in events:
            yield _line(event, named=named)
    except RaglineError as exc:
        yield _line(exc.body())
    except Exception:
        log.exception("a stream failed")
        yield _line(internal_error())
    finally:
        await events.aclose()
    yield b"data: [DONE]\n\n"


def _line(event: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {event['type']}\n".encode() if named else b""
    return (
        name
        + b"data: "
        + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        + b"\n\n"
    )
