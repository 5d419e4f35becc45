"""OpenAI's /v1/embeddings, also at KServe's path and at TEI's and Infinity's /embeddings; and TEI's /embed."""

import numpy as np
from fastapi import APIRouter, Request, Response

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import BYTES, check_dimensions, json_response, rows_response, to_embeddings
from services.encoder.inputs import refuse_chat, tokenize_input
from services.engines.encoder.interface import Rows
from services.errors import BadRequestError
from services.http.server import get_service, list_head
from services.protocol import Usage
from services.protocol.embedding import EmbeddingChatRequest, EmbeddingRequest, EmbeddingResponse, TeiEmbedRequest

PATHS = ("/v1/embeddings", "/openai/v1/embeddings", "/embeddings")


def openai_router(model: EncoderModel) -> APIRouter:
    router = APIRouter()

    async def embeddings(request: Request, body: EmbeddingRequest | EmbeddingChatRequest) -> Response:
        return await embed(model, request, body)

    for path in PATHS:
        router.post(path, response_model=EmbeddingResponse, responses=BYTES)(embeddings)

    @router.post("/embed", response_model=list[list[float]])
    async def tei(request: Request, body: TeiEmbedRequest) -> Response:
        rows, _ = await _vectors(model, request, body.as_openai())
        return await json_response(map(np.ndarray.tolist, rows), values=rows.size)

    return router


async def embed(model: EncoderModel, request: Request, body: EmbeddingRequest | EmbeddingChatRequest) -> Response:
    get_service(request).check_model(body.model)
    refuse_chat(body)
    assert isinstance(body, EmbeddingRequest)  # noqa: S101 - a chat was refused
    rows, tokens = await _vectors(model, request, body)
    head = list_head("embd", request, body.request_id)
    return await rows_response(head, rows, Usage.of_prompt(tokens).model_dump(), body, kind="embedding")


async def _vectors(model: EncoderModel, request: Request, body: EmbeddingRequest) -> tuple[Rows, int]:
    """Return (n, dimension) for n inputs, and how many tokens they have."""
    check_dimensions(body.dimensions, model.checkpoint, width=model.batcher.width, name=model.name)
    read = await model.read(request, tokenize_input(model, body, prefix=_prefix(model, body)))
    rows = to_embeddings(read.rows, model.checkpoint, dimensions=body.dimensions, use_activation=body.use_activation)
    return rows, read.tokens


def _prefix(model: EncoderModel, body: EmbeddingRequest) -> str:
    name = body.prompt_name or body.input_type
    known = model.checkpoint.prefixes
    if name is None or (name in ("query", "document") and name not in known and body.prompt_name is None):
        return ""
    if name not in known:
        raise BadRequestError(f"no prompt {name!r}; the model has {', '.join(known) or 'none'}.", param="prompt_name")
    return known[name]
