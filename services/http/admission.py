"""How many requests run at once, how large their bodies may be, and what happens when a client disconnects.

draining? room? -> the body, within its limits -> a place among max_concurrent -> the route, cancelled on a disconnect
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

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


class AdmissionMetrics(Protocol):
    """`rejections` has the labels model_name and reason."""

    model_name: str
    in_flight: Gauge
    rejections: Counter


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests at once, and bytes of one body; and what errors and metrics call these two."""

    max_concurrent: int
    max_body_bytes: int
    concurrent_name: str = "max_concurrent"
    body_name: str = "max_body_bytes"


class Admission:
    """Counts the requests in flight, refuses those over the limit, and waits for them to end in a drain.

    A request takes its place when its body is there, so that slow senders keep nobody out. What they have sent so far
    is bounded as a whole, by max_concurrent bodies of the largest size.
    """

    def __init__(self, metrics: AdmissionMetrics, limits: Limits) -> None:
        self._metrics = metrics
        self._limits = limits
        self._released = asyncio.Event()
        self.in_flight = 0
        self.arriving_bytes = 0
        self.draining = False

    @property
    def limit(self) -> int:
        """The number of requests that may be in flight now."""
        return self._limits.max_concurrent

    def check_room(self) -> None:
        """Raises UnavailableError while draining, OverloadedError when `limit` requests are in flight."""
        if self.draining:
            raise UnavailableError("the service is shutting down; send the request to another one.", retry_after=5)
        if self.in_flight >= self.limit:
            name = self._limits.concurrent_name
            self._refuse(f"{self.in_flight} requests are in flight, as many as are admitted at present ({name})")

    def check_body(self, size: int) -> None:
        """Raises TooLargeError for a body of this size, OverloadedError where the unfinished bodies fill the memory."""
        most, name = self._limits.max_body_bytes, self._limits.body_name
        if size > most:
            self._count_rejection(name)
            raise TooLargeError(f"the body is over {name} = {most} bytes; send less in one request.")
        if self.arriving_bytes > most * self._limits.max_concurrent:
            self._refuse("too many large requests are on their way")

    def acquire(self) -> None:
        """Take a place. Raises as `check_room`."""
        self.check_room()
        self.in_flight += 1
        self._metrics.in_flight.inc()

    def release(self) -> None:
        self.in_flight -= 1
        self._metrics.in_flight.dec()
        self._released.set()

    def retry_after_s(self) -> int:
        """Seconds after which a request that is refused now is to come back."""
        return 1

    def _count_rejection(self, reason: str) -> None:
        self._metrics.rejections.labels(self._metrics.model_name, reason).inc()

    def _refuse(self, why: str) -> NoReturn:
        self._count_rejection(self._limits.concurrent_name)
        retry_after = self.retry_after_s()
        raise OverloadedError(f"{why}; try again in {retry_after} s.", retry_after=retry_after)

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

    def __init__(self, app: ASGIApp, *, admission_of: Callable[[str, str], Admission | None]) -> None:
        """`admission_of(method, path)` has the limits of a route; None: the route bounds what it reads itself."""
        self.app = app
        self._admission_of = admission_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limited = scope["type"] == "http" and scope["method"] in LIMITED_METHODS and scope["path"] != "/ping"
        admission = self._admission_of(scope["method"], scope["path"]) if limited else None
        if admission is None:
            await self.app(scope, receive, send)
            return
        admission.check_room()
        body = await _read_body(admission, scope, receive)
        if not body:
            scope["state"]["disconnected"] = True
            return
        admission.acquire()
        try:
            if not await self._run_route(scope, receive, send, body):
                scope["state"]["disconnected"] = True
        finally:
            admission.release()

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


async def _read_body(admission: Admission, scope: Scope, receive: Receive) -> deque[Message]:
    """Return the body's messages, [] if the client disconnects first. Raises TooLargeError, SlowClientError."""
    declared = Headers(scope=scope).get("content-length", "")
    admission.check_body(int(declared) if declared.isdigit() else 0)
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
                size += (more := len(message.get("body", b"")))
                admission.arriving_bytes += more
                admission.check_body(size)
                limit.reschedule(until + size / SLOWEST_BYTES_PER_S)
    except TimeoutError as exc:
        raise SlowClientError(f"the request's body was not complete after {BODY_TIMEOUT_S:.0f} s.") from exc
    finally:
        admission.arriving_bytes -= size
    return messages


async def _disconnect(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message
