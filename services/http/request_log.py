"""What is known of each request from its first byte to its last: id, times, status, and the errors on the way."""

import asyncio
import logging
import re
import time
from typing import Protocol

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import RaglineError, UnavailableError
from services.http.errors import ErrorResponse, error_response, internal_error
from services.protocol import current_request_id, new_id

log = logging.getLogger(__name__)

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"})
"""Metrics count any other method as `other`: clients choose the word, and each word would be a time series."""
CLIENT_CLOSED_REQUEST = "499"
"""nginx's status for a client that disconnected before its answer was complete."""
SHUTTING_DOWN = UnavailableError("the service is shutting down; send the request to another one.", retry_after=5)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestMetrics(Protocol):
    """http_requests has the labels model_name, method, handler, status; http_time has model_name and handler."""

    model_name: str
    http_requests: Counter
    http_time: Histogram


class RequestLogMiddleware:
    """ASGI middleware, the outermost: it answers the errors that the ones inside raise.

    `scope["state"]` gets `request_id`, and `timings`, into which routes write seconds by name.
    """

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = _Response(scope, send)
        try:
            await self.app(scope, receive, response)
        except RaglineError as exc:
            await error_response(exc)(scope, receive, response)
        except asyncio.CancelledError:  # by uvicorn, of what runs past the time for a drain
            if response.status:
                raise
            await error_response(SHUTTING_DOWN)(scope, receive, response)
        except Exception:
            log.exception("request %s %s %s failed", current_request_id.get(), scope["method"], scope["path"])
            if response.status:
                raise
            await ErrorResponse(internal_error(), 500)(scope, receive, response)
        finally:
            self._record(scope, response)

    def _record(self, scope: Scope, response: "_Response") -> None:
        handler = getattr(scope.get("route"), "path", "other")
        status = CLIENT_CLOSED_REQUEST if scope["state"].get("disconnected") else str(response.status)
        method = scope["method"] if scope["method"] in METHODS else "other"
        name = self._metrics.model_name
        self._metrics.http_requests.labels(name, method, handler, status).inc()
        self._metrics.http_time.labels(name, handler).observe(response.elapsed_s)


class _Response:
    """An ASGI `send` that adds the request's id and TEI's x-*-time headers, in whole milliseconds."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._began = time.perf_counter()
        self.status = 0
        given = Headers(scope=scope).get("x-request-id", "")
        self._state = scope.setdefault("state", {})
        self._state["request_id"] = given if _REQUEST_ID.fullmatch(given) else new_id()
        self._state["timings"] = {}
        current_request_id.set(self._state["request_id"])

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._began

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._state["request_id"]
            for name, seconds in {"total": self.elapsed_s, **self._state["timings"]}.items():
                headers[f"x-{name}-time"] = str(round(seconds * 1000))
        await self._send(message)
