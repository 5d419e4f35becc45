"""/tokenize, of text or of a chat, /detokenize, and /tokenizer_info."""

from fastapi import APIRouter, Request

from services.generate.generator_model import GeneratorModel
from services.generate.prompt import check_chars, render_chat
from services.http.server import get_service
from services.protocol.chat import ChatTokenizeRequest
from services.protocol.pooling import (
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeRequest,
    TokenizeResponse,
    TokenizerInfo,
)


def tokenize_router(model: GeneratorModel) -> APIRouter:
    router = APIRouter()

    @router.post("/tokenize")
    async def tokenize(request: Request, body: TokenizeRequest | ChatTokenizeRequest) -> TokenizeResponse:
        get_service(request).check_model(body.model, aliases=True)
        ids = await model.off_loop(lambda: _ids(model, body))
        strings = [model.vocabulary.token(i) for i in ids] if body.return_token_strs else None
        return TokenizeResponse(count=len(ids), max_model_len=model.max_model_len, tokens=ids, token_strs=strings)

    @router.post("/detokenize")
    async def detokenize(request: Request, body: DetokenizeRequest) -> DetokenizeResponse:
        get_service(request).check_model(body.model, aliases=True)
        check_chars(model, len(body.tokens), "tokens")
        return DetokenizeResponse(prompt=await model.off_loop(lambda: model.vocabulary.decode(body.tokens)))

    @router.get("/tokenizer_info")
    async def tokenizer_info() -> TokenizerInfo:
        return TokenizerInfo(added_tokens_decoder=model.vocabulary.added)

    return router


def _ids(model: GeneratorModel, body: TokenizeRequest | ChatTokenizeRequest) -> list[int]:
    """Token ids of a text or chat, which may be longer than the context."""
    text = render_chat(model, body, {}) if isinstance(body, ChatTokenizeRequest) else body.prompt
    check_chars(model, len(text), "characters")
    return model.vocabulary.encode(text, special=body.add_special_tokens)
