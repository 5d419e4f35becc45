"""vLLM's /tokenize and /detokenize, and /tokenizer.json, with which indexing cuts chunks."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import json_response
from services.encoder.inputs import no_chat_template
from services.http.server import get_service
from services.protocol.pooling import (
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeChatRequest,
    TokenizeRequest,
    TokenizeResponse,
)


def tokenize_router(model: EncoderModel) -> APIRouter:
    router = APIRouter()
    tokenizer = model.tokenizer

    @router.post("/tokenize", response_model=TokenizeResponse)
    async def tokenize(request: Request, body: TokenizeRequest | TokenizeChatRequest) -> Response:
        get_service(request).check_model(body.model, aliases=True)
        if isinstance(body, TokenizeChatRequest):
            raise no_chat_template()
        model.check_inputs([body.prompt], param="prompt")
        ids = await model.off_loop(lambda: tokenizer.ids(body.prompt, special=body.add_special_tokens))
        strings = await model.off_loop(lambda: tokenizer.strings(ids)) if body.return_token_strs else None
        answer = {"count": len(ids), "max_model_len": tokenizer.max_model_len, "tokens": ids, "token_strs": strings}
        return await json_response(answer, values=len(ids))

    @router.post("/detokenize")
    async def detokenize(request: Request, body: DetokenizeRequest) -> DetokenizeResponse:
        get_service(request).check_model(body.model, aliases=True)
        return DetokenizeResponse(prompt=await model.off_loop(lambda: tokenizer.decode(body.tokens)))

    @router.get("/tokenizer.json", response_class=JSONResponse)
    async def file() -> Response:
        return Response(tokenizer.text, media_type="application/json")

    return router
