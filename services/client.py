"""Clients to the model services; any server of the same routes serves as well (docs/compatibility.md).

Each method raises only `services.errors`: UnavailableError for a service that cannot be reached or is draining,
DeadlineError for one that takes too long, OverloadedError for one whose queue is full, EngineError for an answer that
is not what was asked for. A `deadline` is a time of `time.monotonic()`; requests that are safe to repeat are repeated
until then.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from services.answers import (
    Decision,
    Delta,
    Usage,
    added_tokens,
    chat_chunk,
    decisions,
    embeddings,
    message,
    natural,
    predictions,
    scores,
)
from services.errors import BadRequestError, EngineError, NotFoundError, UnavailableError
from services.service_client import ModelCard, ServiceClient, error_of
from services.settings import EndpointSettings, ScoreSettings

__all__ = [
    "Decision",
    "Delta",
    "EmbedClient",
    "EntailmentClient",
    "GenerateClient",
    "Message",
    "ModelCard",
    "ScoreClient",
    "ServiceClient",
    "Usage",
]

Message = dict[str, Any]
"""A turn of a chat: `role`, `content`."""


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

    async def forward(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The service's own answer to a caller's body of /v1/embeddings, which goes without prefixes to its own model.

        Raises BadRequestError for what the service refuses.
        """
        async with self._boundary(None):
            own = {**body, "model": self.endpoint.model_name}
            response = await self._http.post("/v1/embeddings", json=own)
            if response.is_client_error and response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                raise BadRequestError(message(response.json()))
            if not response.is_success:
                raise error_of(response, self.role)
            return dict(response.json())


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


class EntailmentClient(ServiceClient):
    """A model's labels for pairs of texts, by TEI's /predict: vLLM's /classify reads no pairs."""

    role = "verify"

    async def labels(
        self, pairs: Sequence[tuple[str, str]], *, deadline: float | None = None
    ) -> list[dict[str, float]]:
        """The probability of each label for n pairs of premise and hypothesis; over-long pairs are cut."""
        body = {"inputs": [list(pair) for pair in pairs], "truncate": True}
        return await self._request(
            "POST", "/predict", lambda answer: predictions(answer, len(pairs)), body, deadline=deadline
        )


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

    async def systemone(
        self,
        state: Any,
        questions: Mapping[str, Mapping[str, Any]],
        *,
        instructions: str | None = None,
        deadline: float | None = None,
    ) -> dict[str, Decision]:
        """The answers to typed questions (`type`, `instructions`, `criteria`) about a text or JSON.

        Raises NotFoundError for a server that has no /v1/systemone, or whose model or engine does not serve it.
        """
        body = {"model": self.endpoint.model_name, "state": state, "questions": questions, "instructions": instructions}
        return await self._request(
            "POST", "/v1/systemone", lambda answer: decisions(answer, questions), body, deadline=deadline
        )

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
                    raise error_of(source.response, self.role)
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
