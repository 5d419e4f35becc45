"""/classify: texts to the model's own labels."""

from fastapi import APIRouter, Request, Response

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import json_response
from services.encoder.inputs import refuse_chat, tokenize_input
from services.http.server import get_service, list_head
from services.protocol import Usage
from services.protocol.scoring import ClassificationChatRequest, ClassificationRequest, ClassificationResponse
from services.score.activation import apply_activation


def classify_router(model: EncoderModel) -> APIRouter:
    router = APIRouter()

    @router.post("/classify", response_model=ClassificationResponse)
    async def classify_texts(request: Request, body: ClassificationRequest | ClassificationChatRequest) -> Response:
        return await classify(model, request, body)

    return router


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
