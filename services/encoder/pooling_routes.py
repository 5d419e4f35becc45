"""vLLM's /pooling: embeddings of an embedder, scores of a classifier."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import BYTES, rows_response
from services.encoder.inputs import refuse_chat, tokenize_input
from services.engines.encoder.interface import Rows
from services.errors import BadRequestError
from services.http.server import get_service, list_head
from services.protocol import Usage
from services.protocol.pooling import ChatInputRequest, PoolingResponse, PoolingTaskRequest

Finish = Callable[[Rows, bool | None], Rows]
"""(rows, use_activation) -> the rows to answer with."""


def pooling_router(model: EncoderModel, finish: Finish) -> APIRouter:
    router = APIRouter()
    task = "embed" if model.checkpoint.kind == "embed" else "classify"

    @router.post("/pooling", response_model=PoolingResponse, responses=BYTES)
    async def pooling(request: Request, body: PoolingTaskRequest | ChatInputRequest) -> Response:
        get_service(request).check_model(body.model)
        refuse_chat(body)
        assert isinstance(body, PoolingTaskRequest)  # noqa: S101 - a chat was refused
        if body.dimensions is not None:
            raise BadRequestError("dimensions is currently not supported (parameter=dimensions)", param="dimensions")
        if body.task not in (None, task):
            raise BadRequestError(
                f"Unsupported task: {body.task!r} Supported tasks: {[task]} (parameter=task)", param="task"
            )
        read = await model.read(request, tokenize_input(model, body))
        head = list_head("pooling", request, body.request_id)
        rows = finish(read.rows, body.use_activation)
        return await rows_response(head, rows, Usage.of_prompt(read.tokens).model_dump(), body, kind="pooling")

    return router
