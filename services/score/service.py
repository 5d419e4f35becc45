"""The score service: a cross-encoder or classifier behind the routes for scores and labels."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from services.encoder.open import open_model
from services.encoder.pooling_routes import pooling_router
from services.encoder.score_routes import score_invocations, score_router
from services.encoder.tokenize_routes import tokenize_router
from services.engines.encoder.interface import Rows
from services.http.invocations import Invocation, invocations_router
from services.http.server import Service
from services.protocol.scoring import ClassificationRequest
from services.score.activation import apply_activation
from services.score.classify import classify, classify_router
from services.score.cross_encoder import CrossEncoderScorer
from services.settings import EncoderSettings


def score_service(settings: EncoderSettings, folder: Path) -> Service:
    """Loads the weights. Blocking. /score and /rerank exist only for a model with a single label."""
    model = open_model(settings, folder, kind="score")

    def finish(rows: Rows, use_activation: bool | None) -> Rows:
        return apply_activation(rows, model.checkpoint.activation, use_activation)

    async def invoke_classify(request: Request, body: ClassificationRequest) -> Response:
        return await classify(model, request, body)

    invocations = [Invocation("ClassificationRequest", TypeAdapter(ClassificationRequest), invoke_classify)]
    routers: list[APIRouter] = [classify_router(model), pooling_router(model, finish), tokenize_router(model)]
    if model.batcher.width == 1:
        scorer = CrossEncoderScorer(model)
        routers.append(score_router(scorer))
        invocations += score_invocations(scorer)
    return Service(
        title="ragline score",
        model_name=model.name,
        root=str(folder),
        max_model_len=model.tokenizer.max_model_len,
        backend=model.batcher,
        routers=[*routers, invocations_router(invocations)],
        metrics=model.metrics,
        card={"score_scale": model.checkpoint.scale} if model.batcher.width == 1 else {},
    )
