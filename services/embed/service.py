"""The embed service: a bi-encoder behind the routes for embeddings and, by cosine, for scores."""

from pathlib import Path

from fastapi import Request, Response
from pydantic import TypeAdapter

from services.embed.cohere import cohere_router
from services.embed.cosine import CosineScorer
from services.embed.openai import embed, openai_router
from services.encoder.encodings import to_embeddings
from services.encoder.open import open_model
from services.encoder.pooling_routes import pooling_router
from services.encoder.score_routes import score_invocations, score_router
from services.encoder.tokenize_routes import tokenize_router
from services.engines.encoder.interface import Rows
from services.http.invocations import Invocation, invocations_router
from services.http.server import Service
from services.protocol.embedding import EmbeddingRequest
from services.settings import EncoderSettings


def embed_service(settings: EncoderSettings, folder: Path) -> Service:
    """Loads the weights. Blocking."""
    model = open_model(settings, folder, kind="embed")
    scorer = CosineScorer(model)

    def finish(rows: Rows, use_activation: bool | None) -> Rows:
        return to_embeddings(rows, model.checkpoint, dimensions=None, use_activation=use_activation)

    async def invoke_embed(request: Request, body: EmbeddingRequest) -> Response:
        return await embed(model, request, body)

    invocations = [
        Invocation("EmbeddingRequest", TypeAdapter(EmbeddingRequest), invoke_embed),
        *score_invocations(scorer),
    ]
    return Service(
        title="ragline embed",
        model_name=model.name,
        root=str(folder),
        max_model_len=model.tokenizer.max_model_len,
        backend=model.batcher,
        routers=[
            openai_router(model),
            cohere_router(model),
            score_router(scorer),
            pooling_router(model, finish),
            tokenize_router(model),
            invocations_router(invocations),
        ],
        metrics=model.metrics,
    )
