"""What the clients of the three services share: connections, retries until the deadline, and one tree of errors."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

import httpx2
import stamina

from services.answers import MAX_MESSAGE_CHARS, message, model_entry, seconds, window
from services.errors import (
    DeadlineError,
    EngineError,
    NotFoundError,
    OverloadedError,
    RaglineError,
    UnavailableError,
)
from services.presets import presets
from services.protocol import current_request_id
from services.settings import EndpointSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BACKOFF_S = 0.3


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The served model. max_model_len: in tokens, of settings, preset and /v1/models; else the client's default."""

    id: str
    max_model_len: int


class ServiceClient:
    """A connection pool to one service. `transport` lets a test put the service into its own process."""

    role: ClassVar[str]
    """The service's name in errors. Users may see those, so the service's address is in the log only."""
    default_max_model_len: ClassVar[int] = 512

    def __init__(self, endpoint: EndpointSettings, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.endpoint = endpoint
        presets()  # reads the files now, not while requests wait
        key = endpoint.api_key.get_secret_value() if endpoint.api_key else None
        limits = httpx2.Limits(max_connections=256, max_keepalive_connections=32)
        self._http = httpx2.AsyncClient(
            base_url=endpoint.base_url,
            # a transport of our own, because httpx2's takes the proxies of the environment
            transport=transport or httpx2.AsyncHTTPTransport(verify=_tls(), limits=limits),
            timeout=httpx2.Timeout(endpoint.timeout_s, connect=5.0),
            headers={"Authorization": f"Bearer {key}"} if key else None,
            event_hooks={"request": [_carry_request_id]},
        )
        self._card: ModelCard | None = None

    async def aclose(self) -> None:
        await self._http.aclose()

    async def model(self, *, deadline: float | None = None) -> ModelCard:
        """The served model; fetched once, then kept."""
        if self._card is None:
            name = self.endpoint.model_name
            try:
                entry = await self._request(
                    "GET", "/v1/models", lambda answer: model_entry(answer, name), deadline=deadline
                )
            except NotFoundError:  # TEI
                if not name:
                    raise
                entry = {}
            self._card = ModelCard(entry.get("id", name), self._max_model_len(window(entry)))
        return self._card

    def _max_model_len(self, served: int | None) -> int:
        """The setting; else the smaller of what preset and server say."""
        if self.endpoint.max_model_len is not None:
            return self.endpoint.max_model_len
        preset = self.endpoint.preset
        known = [length for length in (preset.max_model_len if preset else None, served) if length is not None]
        return min(known, default=self.default_max_model_len)

    async def healthy(self, *, timeout_s: float = 2.0) -> bool:
        """Whether /health answers 200; or /v1/models, of a server without /health."""
        for path in ("/health", "/v1/models"):
            try:
                response = await self._http.get(path, timeout=timeout_s)
            except httpx2.RequestError:
                return False
            if _BY_STATUS.get(response.status_code) is not NotFoundError:
                return response.status_code == httpx2.codes.OK
        return False

    async def _request(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        body: Mapping[str, Any] | None = None,
        *,
        deadline: float | None = None,
    ) -> T:
        """What `parse` makes of the JSON answer; its ValueError, LookupError and TypeError become EngineError."""
        async for attempt in retries(deadline):
            with attempt:
                async with self._boundary(deadline):
                    response = await self._http.request(method, path, json=body)
                    if not response.is_success:
                        raise error_of(response, self.role)
                    return parse(response.json())
        raise AssertionError("unreachable: stamina returns or raises")

    @asynccontextmanager
    async def _boundary(self, deadline: float | None) -> AsyncIterator[None]:
        """Applies the deadline to a call, and translates all that it and its answer may raise to services.errors."""
        left = self.endpoint.timeout_s if deadline is None else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                yield
        except (TimeoutError, httpx2.TimeoutException) as exc:
            if isinstance(exc, httpx2.ConnectTimeout):
                raise self._unreachable(exc) from exc
            raise DeadlineError(f"the {self.role} service did not answer within {max(left, 0):.1f} s") from exc
        except (
            httpx2.SSEError,
            httpx2.DecodingError,
            httpx2.TooManyRedirects,
            ValueError,
            LookupError,
            TypeError,
            ArithmeticError,
            RecursionError,
        ) as exc:
            what = f"{type(exc).__name__}: {exc}"[:MAX_MESSAGE_CHARS]
            log.warning(
                "the %s service at %s gave an answer that cannot be used: %s", self.role, self.endpoint.base_url, what
            )
            raise EngineError(f"the {self.role} service gave an answer that cannot be used: {what}") from exc
        except httpx2.TransportError as exc:
            raise self._unreachable(exc) from exc

    def _unreachable(self, cause: Exception) -> UnavailableError:
        log.info("the %s service at %s cannot be reached: %s", self.role, self.endpoint.base_url, cause)
        return UnavailableError(
            f"the {self.role} service cannot be reached; start it with `ragline up`, or set {self.role}.url"
        )


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: the certificates take 30 ms to read."""
    return httpx2.create_ssl_context()


async def _carry_request_id(request: httpx2.Request) -> None:
    if request_id := current_request_id.get():
        request.headers["X-Request-Id"] = request_id


def retries(deadline: float | None) -> Any:
    """stamina's attempts, three within the deadline: after a refused connection, 429 and 503, never slept past it."""
    until = time.monotonic() + 10.0 if deadline is None else deadline

    def worth_waiting(exc: Exception) -> bool | float:
        if isinstance(exc, DeadlineError) or not isinstance(exc, OverloadedError | UnavailableError):
            return False
        left = until - time.monotonic()
        if exc.retry_after is None:
            return left > MAX_BACKOFF_S
        return float(exc.retry_after) if exc.retry_after < left else False

    return stamina.retry_context(
        on=worth_waiting, attempts=3, timeout=None, wait_initial=0.05, wait_jitter=0.1, wait_max=MAX_BACKOFF_S
    )


_BY_STATUS: dict[int, type[RaglineError]] = {
    404: NotFoundError,
    405: NotFoundError,
    429: OverloadedError,
    501: NotFoundError,
    503: UnavailableError,
    504: DeadlineError,
}


def error_of(response: httpx2.Response, role: str) -> RaglineError:
    """The error for a status, with the service's message. A 4xx is our request's fault, not the user's: EngineError."""
    try:
        said = message(response.json())
    except (ValueError, RecursionError):
        said = response.reason_phrase
    kind = _BY_STATUS.get(response.status_code, EngineError)
    return kind(f"the {role} service says: {said}", retry_after=seconds(response.headers.get("Retry-After", "")))
