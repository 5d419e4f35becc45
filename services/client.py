"""Clients to the three model services; any server of the same routes serves as well (docs/compatibility.md).

Each method raises only `services.errors`: UnavailableError for a service that cannot be reached or is draining,
DeadlineError for one that takes too long, OverloadedError for one whose queue is full, EngineError for an answer that
is not what was asked for. A `deadline` is a time of `time.monotonic()`; requests that are safe to repeat are repeated
until then.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import httpx2
import numpy as np
import stamina
from numpy.typing import NDArray

from services.answers import (
    MAX_MESSAGE_CHARS,
    Delta,
    Usage,
    added_tokens,
    chat_chunk,
    embeddings,
    message,
    model_entry,
    natural,
    scores,
    seconds,
    window,
)
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
from services.settings import EndpointSettings, ScoreSettings

__all__ = ["Delta", "EmbedClient", "GenerateClient", "Message", "ModelCard", "ScoreClient", "ServiceClient", "Usage"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Message = dict[str, Any]
"""A turn of a chat: `role`, `content`."""

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
            transport=transport or httpx2.AsyncHTTPTransport(limits=limits),
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
                        raise _error_of(response, self.role)
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


class EmbedClient(ServiceClient):
    """Texts to L2-normalized vectors. Adds the model's prefix, because vLLM's /v1/embeddings has no input_type."""

    role = "embed"

    def prefix(self, input_type: str) -> str:
        preset = self.endpoint.preset
        if preset is None:
            return ""
        return preset.query_prefix if input_type == "query" else preset.document_prefix

    async def embed(
        self, texts: Sequence[str], *, input_type: str, deadline: float | None = None
    ) -> NDArray[np.float32]:
        """(n, dimension) float32 for n texts; over-long texts are cut at the model's length."""
        prefix = self.prefix(input_type)
        body = {
            "model": self.endpoint.model_name,
            "input": [prefix + text for text in texts],
            "encoding_format": "base64",
            "truncate_prompt_tokens": -1,
        }
        vectors = await self._request(
            "POST", "/v1/embeddings", lambda answer: embeddings(answer, len(texts)), body, deadline=deadline
        )
        preset = self.endpoint.preset
        if preset is not None and preset.dimension not in (None, vectors.shape[1]):
            raise EngineError(
                f"the embed service gives {vectors.shape[1]} dimensions, and {preset.name} has {preset.dimension}; "
                "embed.url is of another model"
            )
        return vectors

    async def tokenizer_json(self) -> str | None:
        """The service's `tokenizer.json`; None for a service without that route, as vLLM is."""
        try:
            async with self._boundary(None):
                response = await self._http.get("/tokenizer.json")
                if response.is_success and isinstance(response.json()["model"], dict):
                    return response.text
        except UnavailableError as exc:
            raise UnavailableError(f"{exc} Chunks are cut by its tokenizer.") from exc
        except EngineError:  # a page, or LM Studio's 200 for an unknown path
            return None
        return None


class ScoreClient(ServiceClient):
    """A cross-encoder's raw logits, from the first of its routes that the service has."""

    role = "score"

    def __init__(self, endpoint: ScoreSettings, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        super().__init__(endpoint, transport=transport)
        self._routes: Sequence[str] = SCORE_ROUTES if endpoint.score_route == "auto" else (endpoint.score_route,)

    async def score(
        self, query: str, documents: Sequence[str], *, deadline: float | None = None
    ) -> NDArray[np.float32]:
        """(n,) logits of n documents in their order; over-long pairs are cut at the model's length."""
        missing: NotFoundError | None = None
        for route in self._routes:
            body = {"model": self.endpoint.model_name, **_score_body(route, query, list(documents))}
            try:
                logits = await self._request(
                    "POST", route, lambda answer: scores(answer, len(documents)), body, deadline=deadline
                )
            except NotFoundError as exc:
                missing = missing or exc
            else:
                self._routes = tuple(dict.fromkeys((route, *self._routes)))
                return logits
        raise missing or AssertionError("there is a route")


SCORE_ROUTES = ("/v1/score", "/v1/rerank", "/rerank")
"""vLLM's; Cohere's, which KServe's own runtime has alone, below /openai; TEI's and Infinity's."""


def _score_body(route: str, query: str, documents: list[str]) -> dict[str, Any]:
    if route == "/v1/score":
        return {"queries": query, "documents": documents, "use_activation": False, "truncate_prompt_tokens": -1}
    body = {
        "query": query,
        "documents": documents,
        "top_n": len(documents),
        "return_documents": False,
        "use_activation": False,
        "raw_scores": True,  # TEI's and Infinity's word for it
        "truncate_prompt_tokens": -1,
    }
    return body | {"texts": documents, "truncate": True} if route == "/rerank" else body


class GenerateClient(ServiceClient):
    """Chat completions."""

    role = "generate"
    default_max_model_len = 2**31
    """Unknown: the caller's own limits hold, and the server refuses what is too long for it."""

    def __init__(self, endpoint: EndpointSettings, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        super().__init__(endpoint, transport=transport)
        self._added_tokens: frozenset[str] | None = None

    async def added_tokens(self, *, deadline: float | None = None) -> frozenset[str]:
        """What the tokenizer reads as one token anywhere, <|im_end|>; fetched once. Empty where it is not told."""
        if self._added_tokens is None:
            try:
                self._added_tokens = await self._request("GET", "/tokenizer_info", added_tokens, deadline=deadline)
            except (NotFoundError, EngineError):  # a server without the route; or a page, for any path
                self._added_tokens = frozenset()
        return self._added_tokens

    async def count(self, messages: Sequence[Message], *, deadline: float | None = None) -> int:
        """Tokens of the rendered prompt. Raises NotFoundError for a server that does not count them."""
        body = {"model": self.endpoint.model_name, "messages": list(messages)}

        def parse(answer: Any) -> int:
            if "count" not in answer:  # llama.cpp's /tokenize reads no messages, LM Studio answers 200 for any path
                raise NotFoundError("the generate service does not count the tokens of messages")
            return natural(answer["count"])

        return await self._request("POST", "/tokenize", parse, body, deadline=deadline)

    async def stream(
        self, messages: Sequence[Message], *, deadline: float | None = None, **sampling: Any
    ) -> AsyncGenerator[Delta]:
        """The answer piece by piece; `sampling`: fields of /v1/chat/completions (max_tokens, temperature, …)."""
        body = {"model": self.endpoint.model_name, "messages": list(messages), **sampling}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        finish: str | None = None
        usage: Usage | None = None
        async with AsyncExitStack() as stack:
            async with self._boundary(deadline):
                source = await stack.enter_async_context(
                    self._http.sse("/v1/chat/completions", method="POST", json=body)
                )
                if not source.response.is_success:
                    await source.response.aread()
                    raise _error_of(source.response, self.role)
            events = aiter(source)
            while True:
                async with self._boundary(deadline):  # never around a yield: the reader's time does not count
                    event = await anext(events, None)
                    if event is None or event.data == "[DONE]":
                        if finish is None:
                            raise ValueError("a stream that ends without a finish_reason")
                        break
                    chunk = event.json()
                    if isinstance(chunk, dict) and "error" in chunk:
                        raise EngineError(f"the generate service failed: {message(chunk)}")
                    delta = chat_chunk(chunk)
                    finish, usage = delta.finish_reason or finish, delta.usage or usage
                if delta.text:
                    yield Delta(delta.text)
        yield Delta("", finish, usage)


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


def _error_of(response: httpx2.Response, role: str) -> RaglineError:
    """The error for a status, with the service's message. A 4xx is our request's fault, not the user's: EngineError."""
    try:
        said = message(response.json())
    except (ValueError, RecursionError):
        said = response.reason_phrase
    kind = _BY_STATUS.get(response.status_code, EngineError)
    return kind(f"the {role} service says: {said}", retry_after=seconds(response.headers.get("Retry-After", "")))
