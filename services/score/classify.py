"""Texts and pairs to the model's own labels: vLLM's /classify, and TEI's /predict, which reads pairs."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from fastapi import APIRouter, Request, Response

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import json_response
from services.encoder.inputs import refuse_chat, tokenize_input
from services.encoder.tokenizer import Side, Truncation
from services.engines.encoder.interface import Tokens
from services.http.server import get_service, list_head
from services.protocol import Usage
from services.protocol.scoring import (
    ClassificationChatRequest,
    ClassificationRequest,
    ClassificationResponse,
    Prediction,
    PredictRequest,
)
from services.score.activation import apply_activation


def classify_router(model: EncoderModel) -> APIRouter:
    router = APIRouter()

    @router.post("/classify", response_model=ClassificationResponse)
    async def classify_texts(request: Request, body: ClassificationRequest | ClassificationChatRequest) -> Response:
        return await classify(model, request, body)

    @router.post("/predict", response_model=list[Prediction] | list[list[Prediction]])
    async def predict(request: Request, body: PredictRequest) -> Response:
        inputs = body.inputs
        is_one = isinstance(inputs, str) or isinstance(inputs[0], str)
        batch = cast("list[list[str]]", [[inputs] if isinstance(inputs, str) else inputs] if is_one else inputs)
        model.check_inputs([text for each in batch for text in each], param="inputs")
        side = cast("Side", body.truncation_direction.lower())
        cut = model.truncation(-1 if body.truncate else None, side)
        read = await model.read(request, (_encoded(model, each, cut) for each in batch))
        rows = apply_activation(read.rows, model.checkpoint.activation, False if body.raw_scores else None)
        known = model.checkpoint.labels
        names = [*known, *(f"LABEL_{i}" for i in range(len(known), rows.shape[1]))]
        listed = [
            [{"label": names[i], "score": float(row[i])} for i in np.argsort(-row, kind="stable")] for row in rows
        ]
        return await json_response(listed[0] if is_one else listed, values=rows.size)

    return router


def _encoded(model: EncoderModel, texts: Sequence[str], cut: Truncation) -> list[Tokens]:
    if len(texts) == 1:
        return model.tokenizer.encode(texts, cut)
    return [tokens for part in model.tokenizer.encode_pairs(texts[:1], texts[1:], cut) for tokens in part]


async def classify(
    model: EncoderModel, request: Request, body: ClassificationRequest | ClassificationChatRequest
) -> Response:
    get_service(request).check_model(body.model)
    read = await model.read(request, tokenize_input(model, refuse_chat(body)))
    rows = apply_activation(read.rows, model.checkpoint.activation, body.use_activation)
    labels = model.checkpoint.labels
    data = []
    for index, row in enumerate(rows):
        best = int(row.argmax())
        label = labels[best] if best < len(labels) else None
        data.append({"index": index, "label": label, "probs": row.tolist(), "num_classes": len(row)})
    return await json_response(
        list_head("classify", request, body.request_id)
        | {"data": data, "usage": Usage.of_prompt(read.tokens).model_dump()},
        values=rows.size,
    )
