"""The door in front of a service's routes, or the orchestrator's: who, how many, how much, and what if they leave.

request id -> key -> draining? -> places -> body within its limit -> the route, cancelled if the client goes away
"""

import asyncio
import hmac
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram
from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import (
    BadRequestError,
    OverloadedError,
    RaglineError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from services.http.errors import ErrorResponse, answer_of, internal_error
from services.protocol import new_id

log = logging.getLogger(__name__)

WORK = frozenset({"POST", "PUT", "PATCH", "DELETE"})
METHODS = WORK | {"GET", "HEAD", "OPTIONS"}
"""Counted by name; any other word that a client takes for a method is `other`, or each would be a series."""
BODY_TIMEOUT_S = 30.0
SLOWEST_BYTES_PER_S = 64 * 2**10
"""A body may take longer than BODY_TIMEOUT_S by what it holds at this rate: a large upload over a thin line."""
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class SlowClientError(RaglineError):
    status = 408
    type = "RequestTimeoutError"


class Door(Protocol):
    """The settings of a door: of a service, or of the orchestrator."""

    @property
    def host(self) -> str: ...
    @property
    def api_key(self) -> SecretStr | None: ...
    @property
    def allow_insecure(self) -> bool: ...
    @property
    def max_body_bytes(self) -> int: ...
    @property
    def max_concurrent(self) -> int: ...


class DoorMetrics(Protocol):
    """What is counted at a door; the first label is `model_name`."""

    model_name: str
    in_flight: Gauge
    rejections: Counter
    http_requests: Counter
    http_time: Histogram


def open_to_probes(method: str, path: str) -> bool:
    """What needs no key: probes and scrapers hold none."""
    del method
    return path in {"/health", "/ping", "/metrics"}


def check_address(door: Door) -> None:
    """Raises BadRequestError where the service would be open to other machines without a key."""
    if door.api_key or door.allow_insecure or is_loopback(door.host):
        return
    raise BadRequestError(
        f"host {door.host} is reachable from other machines and api_key is empty; set it, or allow_insecure = true."
    )


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Doorkeeper:
    """What is in flight, and whether anything more is let in."""

    def __init__(self, settings: Door, metrics: DoorMetrics) -> None:
        self._max_concurrent = settings.max_concurrent
        self._metrics = metrics
        self._left = asyncio.Event()
        self.in_flight = 0
        self.draining = False

    def enter(self) -> None:
        """Takes a place. Raises UnavailableError while draining, OverloadedError when all are taken."""
        if self.draining:
            raise UnavailableError("the service is shutting down; send the request to another one.", retry_after=5)
        if self.in_flight >= self._max_concurrent:
            self._metrics.rejections.labels(self._metrics.model_name, "max_concurrent").inc()
            raise OverloadedError(
                f"{self.in_flight} requests are in flight, as many as max_concurrent allows; try again.", retry_after=1
            )
        self.in_flight += 1
        self._metrics.in_flight.set(self.in_flight)

    def leave(self) -> None:
        self.in_flight -= 1
        self._metrics.in_flight.set(self.in_flight)
        self._left.set()

    async def drain(self, limit_s: float) -> bool:
        """Lets nobody in any more; True once everybody has left, False when limit_s is over first."""
        self.draining = True
        try:
            async with asyncio.timeout(limit_s):
                while self.in_flight:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return False
        return True


class Gate:
    """ASGI middleware. `scope["state"]` gets `request_id`, and `timings`: seconds by name, written by the routes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Door,
        keeper: Doorkeeper,
        metrics: DoorMetrics,
        needs_no_key: Callable[[str, str], bool] = open_to_probes,
    ) -> None:
        self.app = app
        self._needs_no_key = needs_no_key
        self._keeper = keeper
        self._metrics = metrics
        self._max_body = settings.max_body_bytes
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._digest = sha256(key.encode()).digest() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reply = _Reply(scope, send, self._metrics)
        try:
            self._authenticate(scope)
            if scope["method"] in WORK and scope["path"] != "/ping":
                await self._work(scope, receive, reply)
            else:
                await self.app(scope, receive, reply)
        except RaglineError as exc:
            await answer_of(exc)(scope, receive, reply)
        except Exception:
            log.exception("request %s %s failed", scope["method"], scope["path"])
            if reply.started:
                raise
            await ErrorResponse(internal_error(), 500)(scope, receive, reply)
        finally:
            reply.record()

    def _authenticate(self, scope: Scope) -> None:
        if self._digest is None or self._needs_no_key(scope["method"], scope["path"]):
            return
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        matches = hmac.compare_digest(sha256(given.strip().encode()).digest(), self._digest)
        if not (matches and scheme.lower() == "bearer"):
            raise UnauthorizedError("send the service's API key as `Authorization: Bearer KEY`.")

    async def _work(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        self._keeper.enter()
        try:
            body = await self._body(scope, receive)
            if body:
                await self._answer(scope, receive, reply, body)
            else:
                reply.abandoned = True
        finally:
            self._keeper.leave()

    async def _body(self, scope: Scope, receive: Receive) -> deque[Message]:
        """The body's messages; none where the client left before its end. Raises TooLargeError, SlowClientError."""
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared) if declared.isdigit() else 0
        self._check_size(size)
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
            raise SlowClientError(f"after {BODY_TIMEOUT_S:.0f} s the request's body comes too slowly.") from exc
        return messages

    def _check_size(self, size: int) -> None:
        if size > self._max_body:
            self._metrics.rejections.labels(self._metrics.model_name, "max_body_bytes").inc()
            raise TooLargeError(f"the body is over max_body_bytes = {self._max_body}; send fewer inputs a request.")

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply", body: deque[Message]) -> None:
        """Runs the route; a client that goes away takes its work with it."""
        gone: asyncio.Task[Message] = asyncio.create_task(_disconnected(receive))

        async def replay() -> Message:
            return body.popleft() if body else await asyncio.shield(gone)

        work = asyncio.ensure_future(self.app(scope, replay, reply))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                reply.abandoned = True
        finally:
            for task in (gone, work):
                task.cancel()
            await asyncio.gather(gone, work, return_exceptions=True)


async def _disconnected(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message


class _Reply:
    """`send`, with our headers on the answer and the answer in the metrics."""

    def __init__(self, scope: Scope, send: Send, metrics: DoorMetrics) -> None:
        self._scope, self._send, self._metrics = scope, send, metrics
        self._began = time.perf_counter()
        self._status = 0
        self.abandoned = False
        given = Headers(scope=scope).get("x-request-id", "")
        self._state = scope.setdefault("state", {})
        self._state["request_id"] = given if _REQUEST_ID.fullmatch(given) else new_id()
        self._state["timings"] = {}

    @property
    def started(self) -> bool:
        return self._status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._state["request_id"]
            # TEI's headers, whole milliseconds
            for name, seconds in {"total": time.perf_counter() - self._began, **self._state["timings"]}.items():
                headers[f"x-{name}-time"] = str(round(seconds * 1000))
        await self._send(message)

    def record(self) -> None:
        handler = getattr(self._scope.get("route"), "path", "other")
        status = "499" if self.abandoned else str(self._status)
        name = self._metrics.model_name
        method = self._scope["method"] if self._scope["method"] in METHODS else "other"
        self._metrics.http_requests.labels(name, method, handler, status).inc()
        self._metrics.http_time.labels(name, handler).observe(time.perf_counter() - self._began)
