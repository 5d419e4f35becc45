"""Cohere's /v2/embed: texts with an input_type, embeddings in several encodings at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import check_dimensions, encode_rows, json_response, pack_bits, to_base64, to_embeddings
from services.encoder.tokenizer import Tokenizer, Truncation, slices
from services.engines.encoder.interface import Rows, Tokens
from services.errors import BadRequestError
from services.http.server import get_service, response_id
from services.protocol.embedding import CohereBilledUnits, CohereEmbedRequest, CohereEmbedResponse, CohereMeta

COHERE_NAMES = {"search_query": "query", "search_document": "document"}


def cohere_router(model: EncoderModel) -> APIRouter:
    router = APIRouter()

    @router.post("/v2/embed", response_model=CohereEmbedResponse)
    @router.post("/cohere/v2/embed", response_model=CohereEmbedResponse)
    async def embed(request: Request, body: CohereEmbedRequest) -> Response:
        get_service(request).check_model(body.model)
        texts = _texts(body)
        model.check_inputs(texts, param="texts")
        checkpoint = model.checkpoint
        check_dimensions(body.output_dimension, checkpoint, width=model.batcher.width, name=model.name)
        prefix = _prefix(checkpoint.prefixes, body.input_type)
        prefixed = [prefix + text for text in texts]
        read = await model.read(
            request, (_encoded(model.tokenizer, prefixed[part], body) for part in slices(map(len, prefixed)))
        )
        rows = to_embeddings(read.rows, checkpoint, dimensions=body.output_dimension, use_activation=None)
        answer = {
            "id": response_id("embd", request),
            "embeddings": {name: _as_type(rows, name) for name in body.embedding_types or ("float",)},
            "texts": texts,
            "meta": CohereMeta(billed_units=CohereBilledUnits(input_tokens=read.tokens)).model_dump(),
            "response_type": "embeddings_by_type",
        }
        return await json_response(answer, values=rows.size)

    return router


def _texts(body: CohereEmbedRequest) -> list[str]:
    if body.images:
        raise BadRequestError("images are not supported: the model reads text.", param="images")
    return body.texts or [_text_of(item) for item in body.inputs or []]


def _text_of(item: Mapping[str, Any]) -> str:
    parts = item.get("content")
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError("inputs must have content of text parts: the model reads text.", param="inputs")
    return "".join(map(str, texts))


def _prefix(known: Mapping[str, str], input_type: str | None) -> str:
    if input_type is None:
        return ""
    name = COHERE_NAMES.get(input_type, input_type)
    for candidate in (input_type, name):
        if candidate in known:
            return known[candidate]
    supported = f"Supported values: {', '.join(sorted(known))}." if known else None
    raise BadRequestError(
        f"Unsupported input_type {input_type!r}. "
        + (supported or "This model does not define any input_type task instructions.")
    )


def _encoded(tokenizer: Tokenizer, texts: list[str], body: CohereEmbedRequest) -> list[Tokens]:
    """Truncates to max_tokens, or to the model's length. Raises BadRequestError for too long a text with NONE."""
    if body.truncate != "NONE":
        limit = tokenizer.limit(-1 if body.max_tokens is None else body.max_tokens)
        return tokenizer.encode(texts, Truncation(limit, "left" if body.truncate == "START" else "right"))
    inputs = tokenizer.encode(texts, Truncation())
    longest = max(map(len, inputs))
    if body.max_tokens is not None and longest > body.max_tokens:
        raise BadRequestError(
            f"Input of {longest} tokens exceeds max_tokens={body.max_tokens} with truncate=NONE. "
            "Set truncate to END or START to allow truncation."
        )
    return inputs


def _as_type(rows: Rows, name: str) -> Any:
    match name:
        case "float":
            return map(np.ndarray.tolist, rows)
        case "base64":
            return map(to_base64, encode_rows(rows, "float32", "little"))
        case "ubinary":
            return map(np.ndarray.tolist, pack_bits(rows))
        case _:
            return map(np.ndarray.tolist, pack_bits(rows).astype(np.int16) - 128)
