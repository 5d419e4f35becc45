"""/score and /rerank, under the paths of vLLM, Cohere, Jina and KServe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import TypeAdapter
from pydantic_core import to_json

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import json_response
from services.encoder.tokenizer import Truncation
from services.errors import BadRequestError
from services.http.invocations import Invocation
from services.http.server import get_service, list_head, response_id
from services.protocol import Usage
from services.protocol.scoring import (
    Item,
    Items,
    RerankRequest,
    RerankResponse,
    Scale,
    ScoreRequest,
    ScoreResponse,
    ScoringRequest,
    as_list,
)

SCORE_PATHS = ("/score", "/v1/score")
RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank", "/openai/v1/rerank", "/cohere/v2/rerank")


@dataclass(frozen=True, slots=True)
class Scored:
    scores: NDArray[np.float32]
    """(n,), in the order of the documents."""
    tokens: int


class Scorer(Protocol):
    model: EncoderModel

    def scale(self, use_activation: bool | None) -> Scale: ...

    async def score(
        self, request: Request, queries: Sequence[str], documents: Sequence[str], body: ScoringRequest, cut: Truncation
    ) -> Scored:
        """Scores documents against one query, or against one each."""


def score_router(scorer: Scorer) -> APIRouter:
    router = APIRouter()

    async def score_pairs(request: Request, body: ScoreRequest) -> Response:
        return await score(scorer, request, body)

    async def rerank_documents(request: Request, body: RerankRequest) -> Response:
        return await rerank(scorer, request, body)

    for path in SCORE_PATHS:
        router.post(path, response_model=ScoreResponse)(score_pairs)
    for path in RERANK_PATHS:
        router.post(path, response_model=RerankResponse)(rerank_documents)
    return router


def score_invocations(scorer: Scorer) -> list[Invocation]:
    async def invoke_score(request: Request, body: ScoreRequest) -> Response:
        return await score(scorer, request, body)

    async def invoke_rerank(request: Request, body: RerankRequest) -> Response:
        return await rerank(scorer, request, body)

    return [
        Invocation("ScoreRequest", TypeAdapter(ScoreRequest), invoke_score),
        Invocation("RerankRequest", TypeAdapter(RerankRequest), invoke_rerank),
    ]


async def score(scorer: Scorer, request: Request, body: ScoreRequest) -> Response:
    get_service(request).check_model(body.model)
    queries, documents = body.sides()
    scored = await _scored(scorer, request, body, queries, documents)
    data = [{"index": i, "object": "score", "score": float(s)} for i, s in enumerate(scored.scores)]
    return await json_response(
        list_head("score", request, body.request_id)
        | {
            "data": data,
            "usage": Usage.of_prompt(scored.tokens).model_dump(),
            "score_scale": scorer.scale(body.use_activation),
        },
        values=len(data),
    )


async def rerank(scorer: Scorer, request: Request, body: RerankRequest) -> Response:
    get_service(request).check_model(body.model)
    scored = await _scored(scorer, request, body, body.query, body.documents)
    documents = as_list(body.documents)
    best_first = np.argsort(-scored.scores, kind="stable")[: body.top_n or None]
    results: list[dict[str, Any]] = []
    for index in best_first:
        result: dict[str, Any] = {"index": int(index)}
        if body.return_documents is not False:
            result["document"] = {"text": documents[index], "multi_modal": None}
        results.append({**result, "relevance_score": float(scored.scores[index])})
    if "texts" in (body.model_extra or {}):  # as TEI answers
        listed = [{"index": each["index"], "score": each["relevance_score"]} for each in results]
        return Response(to_json(listed), media_type="application/json")
    answer = {
        "id": response_id("score", request, body.request_id),
        "model": scorer.model.name,
        "usage": {"prompt_tokens": scored.tokens, "total_tokens": scored.tokens},
        "results": results,
        "score_scale": scorer.scale(body.use_activation),
    }
    if request.url.path.endswith("/v2/rerank"):
        answer["meta"] = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return await json_response(answer, values=scored.tokens)


async def _scored(scorer: Scorer, request: Request, body: ScoringRequest, queries: Items, documents: Items) -> Scored:
    left, right = _texts(scorer, as_list(queries)), _texts(scorer, as_list(documents))
    if len(left) > 1 and len(left) != len(right):
        raise BadRequestError("Input lengths must be either 1:1, 1:N or N:N")
    if not left:
        raise BadRequestError("At least one text element must be given")
    if not right:
        raise BadRequestError("At least one text_pair element must be given")
    scorer.model.check_inputs(left, param="queries")
    scorer.model.check_inputs(right, param="documents")
    return await scorer.score(request, left, right, body, _truncation(scorer, body))


def _texts(scorer: Scorer, items: Sequence[Item]) -> Sequence[str]:
    if not all(isinstance(item, str) for item in items):
        raise BadRequestError(f"MultiModalParam is not supported for {scorer.model.checkpoint.architecture}")
    return cast("Sequence[str]", items)


def _truncation(scorer: Scorer, body: ScoringRequest) -> Truncation:
    longest = scorer.model.tokenizer.max_model_len
    limits = {"max_tokens_per_query": body.max_tokens_per_query, "max_tokens_per_doc": body.max_tokens_per_doc}
    for name, value in limits.items():
        if value < 0:
            raise BadRequestError(f"{name} must be a non-negative integer")
        if value >= longest:
            raise BadRequestError(f"{name} ({value}) must be less than max_model_len ({longest}).")
    cut = scorer.model.truncation(body.truncate_prompt_tokens, body.truncation_side)
    return Truncation(cut.limit, cut.side, body.max_tokens_per_query, body.max_tokens_per_doc)
