"""How many requests run at once, how large their bodies may be, and what happens when a client disconnects.

draining? -> a place among max_concurrent -> the body, within its limits -> the route, cancelled on a disconnect
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter, Gauge
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import OverloadedError, RaglineError, TooLargeError, UnavailableError

LIMITED_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BODY_TIMEOUT_S = 30.0
SLOWEST_BYTES_PER_S = 64 * 2**10
"""BODY_TIMEOUT_S grows by the time that the received bytes take at this rate, for large uploads over slow links."""


class SlowClientError(RaglineError):
    status = 408
    type = "RequestTimeoutError"


class AdmissionSettings(Protocol):
    @property
    def max_body_bytes(self) -> int: ...
    @property
    def max_concurrent(self) -> int: ...


class AdmissionMetrics(Protocol):
    """`rejections` has the labels model_name and reason."""

    model_name: str
    in_flight: Gauge
    rejections: Counter


class Admission:
    """Counts the requests in flight, refuses those over the limit, and waits for them to end in a drain."""

    def __init__(self, settings: AdmissionSettings, metrics: AdmissionMetrics) -> None:
        self._max_concurrent = settings.max_concurrent
        self._metrics = metrics
        self._released = asyncio.Event()
        self.max_body_bytes = settings.max_body_bytes
        self.in_flight = 0
        self.draining = False

    def acquire(self) -> None:
        """Raises UnavailableError while draining, OverloadedError when max_concurrent requests are in flight."""
        if self.draining:
            raise UnavailableError("the service is shutting down; send the request to another one.", retry_after=5)
        if self.in_flight >= self._max_concurrent:
            self.count_rejection("max_concurrent")
            raise OverloadedError(
                f"{self.in_flight} requests are in flight, as many as max_concurrent allows; try again.", retry_after=1
            )
        self.in_flight += 1
        self._metrics.in_flight.set(self.in_flight)

    def release(self) -> None:
        self.in_flight -= 1
        self._metrics.in_flight.set(self.in_flight)
        self._released.set()

    def count_rejection(self, reason: str) -> None:
        self._metrics.rejections.labels(self._metrics.model_name, reason).inc()

    async def drain(self, timeout_s: float) -> bool:
        """Admits no more requests; True once none is in flight, False when timeout_s passes first."""
        self.draining = True
        try:
            async with asyncio.timeout(timeout_s):
                while self.in_flight:
                    self._released.clear()
                    await self._released.wait()
        except TimeoutError:
            return False
        return True


class AdmissionMiddleware:
    """ASGI middleware. Sets `disconnected` in `scope["state"]` when the client left before its answer was complete."""

    def __init__(
        self, app: ASGIApp, *, admission: Admission, streams: Callable[[str, str], bool] = lambda _method, _path: False
    ) -> None:
        """Routes whose method and path `streams` are left alone: they bound their bodies themselves."""
        self.app = app
        self._admission = admission
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] not in LIMITED_METHODS
            or scope["path"] == "/ping"
            or self._streams(scope["method"], scope["path"])
        ):
            await self.app(scope, receive, send)
            return
        self._admission.acquire()
        try:
            body = await self._read_body(scope, receive)
            completed = bool(body) and await self._run_route(scope, receive, send, body)
            if not completed:
                scope["state"]["disconnected"] = True
        finally:
            self._admission.release()

    async def _read_body(self, scope: Scope, receive: Receive) -> deque[Message]:
        """The body's messages; none if the client disconnects first. Raises TooLargeError, SlowClientError."""
        declared = Headers(scope=scope).get("content-length", "")
        self._check_size(int(declared) if declared.isdigit() else 0)
        messages: deque[Message] = deque()
        size = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S) as limit:
                until = limit.when() or 0.0
                while not messages or messages[-1].get("more_body"):
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return deque()
                    messages.append(message)
                    size += len(message.get("body", b""))
                    self._check_size(size)
                    limit.reschedule(until + size / SLOWEST_BYTES_PER_S)
        except TimeoutError as exc:
            raise SlowClientError(f"the request's body was not complete after {BODY_TIMEOUT_S:.0f} s.") from exc
        return messages

    def _check_size(self, size: int) -> None:
        limit = self._admission.max_body_bytes
        if size > limit:
            self._admission.count_rejection("max_body_bytes")
            raise TooLargeError(f"the body is over max_body_bytes = {limit}; send fewer inputs a request.")

    async def _run_route(self, scope: Scope, receive: Receive, send: Send, body: deque[Message]) -> bool:
        """Cancels the route when the client disconnects; whether the route ended by itself."""
        disconnect: asyncio.Task[Message] = asyncio.create_task(_disconnect(receive))

        async def replay() -> Message:
            return body.popleft() if body else await asyncio.shield(disconnect)

        route = asyncio.ensure_future(self.app(scope, replay, send))
        try:
            await asyncio.wait({route, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if not route.done():
                return False
            route.result()
            return True
        finally:
            for task in (disconnect, route):
                task.cancel()
            await asyncio.gather(disconnect, route, return_exceptions=True)


async def _disconnect(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message
