"""Clients to the three model services; any vLLM server serves as well.

Each method raises only `services.errors`: UnavailableError for a service that cannot be reached or is draining,
DeadlineError for one that takes too long, OverloadedError for one whose queue is full. A `deadline` is a time of
`time.monotonic()`; requests that are safe to repeat are repeated until then.
"""

import asyncio
import base64
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx2
import numpy as np
import openai
import stamina
from numpy.typing import NDArray
from openai.types.chat import ChatCompletionMessageParam

from services.errors import (
    DeadlineError,
    EngineError,
    NotFoundError,
    OverloadedError,
    RaglineError,
    UnavailableError,
)
from services.protocol import current_request_id
from services.settings import ServiceSettings

log = logging.getLogger(__name__)

Message = ChatCompletionMessageParam


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What `/v1/models` says of the served model."""

    id: str
    max_model_len: int


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer; the last one carries `finish_reason` and `usage`."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


class ServiceClient:
    """A connection pool to one service. `transport` lets a test put the service into its own process."""

    role: ClassVar[str]
    """The service's name in errors. Users may see those, so the service's address is in the log only."""

    def __init__(self, endpoint: ServiceSettings, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.endpoint = endpoint
        key = endpoint.api_key.get_secret_value() if endpoint.api_key else None
        self._http = httpx2.AsyncClient(
            base_url=endpoint.base_url,
            transport=transport,
            timeout=httpx2.Timeout(endpoint.timeout_s, connect=5.0),
            headers={"Authorization": f"Bearer {key}"} if key else None,
            limits=httpx2.Limits(max_connections=256, max_keepalive_connections=32),
            event_hooks={"request": [_carry_request_id]},
        )
        self._openai = openai.AsyncOpenAI(
            base_url=f"{endpoint.base_url}/v1", api_key=key or "none", http_client=self._http, max_retries=0
        )
        self._card: ModelCard | None = None

    async def aclose(self) -> None:
        await self._http.aclose()

    async def model(self, *, deadline: float | None = None) -> ModelCard:
        """The served model; fetched once, then kept."""
        if self._card is None:
            listed = (await self._request("GET", "/v1/models", deadline=deadline))["data"]
            self._card = ModelCard(listed[0]["id"], listed[0].get("max_model_len") or 512)
        return self._card

    async def healthy(self, *, timeout_s: float = 2.0) -> bool:
        try:
            return (await self._http.get("/health", timeout=timeout_s)).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> Any:
        async for attempt in retries(deadline):
            with attempt:
                async with self._boundary(deadline):
                    response = await self._http.request(method, path, json=body)
                    if response.is_error:
                        raise _error_of(response, self.role)
                    return response.json()
        raise AssertionError("unreachable: stamina returns or raises")

    @asynccontextmanager
    async def _boundary(self, deadline: float | None) -> AsyncIterator[None]:
        """Applies the deadline to a call, and translates the libraries' errors to services.errors."""
        left = self.endpoint.timeout_s if deadline is None else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                yield
        except openai.APIStatusError as exc:
            raise _error_of(exc.response, self.role) from exc
        except (TimeoutError, httpx2.TimeoutException, openai.APITimeoutError) as exc:
            if isinstance(exc, httpx2.ConnectTimeout):
                raise self._unreachable(exc) from exc
            raise DeadlineError(f"the {self.role} service did not answer within {max(left, 0):.1f} s") from exc
        except (httpx2.TransportError, openai.APIConnectionError) as exc:
            raise self._unreachable(exc) from exc
        except openai.APIError as exc:
            raise EngineError(f"the {self.role} service failed: {exc.message}") from exc

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
        prefixed = [prefix + text for text in texts]
        async for attempt in retries(deadline):
            with attempt:
                async with self._boundary(deadline):
                    answer = await self._openai.embeddings.create(
                        model=self.endpoint.model_name,
                        input=prefixed,
                        encoding_format="base64",
                        extra_body={"truncate_prompt_tokens": -1},
                    )
        vectors = np.stack([_floats(item.embedding) for item in answer.data])
        norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, np.maximum(norms, 1e-12), dtype=np.float32)

    async def tokenizer_json(self) -> str | None:
        """The service's `tokenizer.json`; None for a service without that route, as vLLM is."""
        try:
            async with self._boundary(None):
                response = await self._http.get("/tokenizer.json")
        except UnavailableError as exc:
            raise UnavailableError(f"{exc} Chunks are cut by its tokenizer.") from exc
        return response.text if response.is_success else None


class ScoreClient(ServiceClient):
    """A cross-encoder's raw logits."""

    role = "score"

    async def score(
        self, query: str, documents: Sequence[str], *, deadline: float | None = None
    ) -> NDArray[np.float32]:
        """(n,) logits of n documents in their order; over-long pairs are cut at the model's length."""
        body = {
            "model": self.endpoint.model_name,
            "queries": query,
            "documents": list(documents),
            "use_activation": False,
            "truncate_prompt_tokens": -1,
        }
        answer = await self._request("POST", "/v1/score", body, deadline=deadline)
        scores = np.empty(len(documents), dtype=np.float32)
        for item in answer["data"]:
            scores[item["index"]] = item["score"]
        return scores


class GenerateClient(ServiceClient):
    """Chat completions."""

    role = "generate"

    async def count(self, messages: Sequence[Message], *, deadline: float | None = None) -> int:
        """Tokens of the rendered prompt."""
        body = {"model": self.endpoint.model_name, "messages": list(messages)}
        return int((await self._request("POST", "/tokenize", body, deadline=deadline))["count"])

    async def stream(
        self, messages: Sequence[Message], *, deadline: float | None = None, **sampling: Any
    ) -> AsyncGenerator[Delta]:
        """The answer piece by piece; `sampling`: fields of /v1/chat/completions (max_tokens, temperature, …)."""
        async with self._boundary(deadline):
            stream = await self._openai.chat.completions.create(
                model=self.endpoint.model_name,
                messages=list(messages),
                stream=True,
                stream_options={"include_usage": True},
                **sampling,
            )
        finish: str | None = None
        async with stream:
            while True:
                async with self._boundary(deadline):  # never around a yield: the reader's time does not count
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    if choice.delta.content:
                        yield Delta(choice.delta.content)
                if chunk.usage is not None:
                    yield Delta("", finish, Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens))


async def _carry_request_id(request: httpx2.Request) -> None:
    if request_id := current_request_id.get():
        request.headers["X-Request-Id"] = request_id


def retries(deadline: float | None) -> Any:
    """stamina's attempts, three within the deadline: after a refused connection, 429 and 503."""
    left = 10.0 if deadline is None else max(deadline - time.monotonic(), 0.0)

    def worth_waiting(exc: Exception) -> bool | float:
        if isinstance(exc, DeadlineError) or not isinstance(exc, OverloadedError | UnavailableError):
            return False
        return float(exc.retry_after) if exc.retry_after is not None else True

    return stamina.retry_context(on=worth_waiting, attempts=3, timeout=left, wait_initial=0.05, wait_jitter=0.1)


def _floats(embedding: Any) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)


_BY_STATUS: dict[int, type[RaglineError]] = {
    404: NotFoundError,
    429: OverloadedError,
    503: UnavailableError,
    504: DeadlineError,
}


def _error_of(response: httpx2.Response, role: str) -> RaglineError:
    """The error for a status, with the service's message. A 4xx is our request's fault, not the user's: EngineError."""
    try:
        detail = response.json().get("error")
        message = detail.get("message", "") if isinstance(detail, dict) else str(detail)
    except (ValueError, AttributeError, httpx2.ResponseNotRead):
        message = response.reason_phrase
    kind = _BY_STATUS.get(response.status_code, EngineError)
    after = response.headers.get("Retry-After", "")
    return kind(f"the {role} service says: {message}", retry_after=int(after) if after.isdigit() else None)
