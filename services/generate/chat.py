"""POST /v1/chat/completions, whole and streamed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from services.engines.generator import Sampling
from services.errors import BadRequestError, TooLargeError
from services.generate.deltas import Delta, TextRules, deltas, interleaved, submitted
from services.generate.model import Model
from services.generate.prompt import Length, encode, rendered
from services.generate.sampling import sampling_of, stops
from services.generate.sse import STREAM, streamed
from services.protocol import Usage, now
from services.protocol.chat import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatLogprob,
    ChatLogprobs,
    ChatRequest,
)
from services.server import answer_id, served


@dataclass(frozen=True, slots=True)
class Chat:
    """A request, ready to be generated."""

    id: str
    created: int
    body: ChatRequest
    prompt: list[int]
    text: str
    samplings: list[Sampling]
    rules: TextRules
    prefix: str
    """With `echo`, the message that the answer goes on with."""


def chat_router(model: Model) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/chat/completions", response_model=ChatCompletion, responses={200: STREAM})
    async def chat_completions(request: Request, body: ChatRequest) -> ChatCompletion | StreamingResponse:
        served(request).check_model(body.model, aliases=True)
        _check(body)
        chat = await model.off_loop(lambda: _ready(model, body, answer_id("chatcmpl", request, body.request_id)))
        if body.stream:
            return await streamed(_chunks(model, chat))
        return await _whole(model, chat)

    return router


def _check(body: ChatRequest) -> None:
    """What is refused before the messages are looked at."""
    if body.stream_options and not body.stream:
        raise BadRequestError("Stream options can only be defined when `stream=True`.", param="stream_options")
    top = body.top_logprobs or 0
    if top < 0 and top != -1:
        raise BadRequestError("`top_logprobs` must be a positive value or -1.", param="top_logprobs")
    if top and not body.logprobs:
        raise BadRequestError("when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs")
    if top:
        raise BadRequestError(
            "this engine gives the logprob of the chosen token only; set top_logprobs to 0.", param="top_logprobs"
        )
    if body.tools == []:
        raise BadRequestError(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
            param="tools",
        )
    choice = body.tool_choice or ("auto" if body.tools and "tool_choice" not in body.model_fields_set else "none")
    if choice != "none":
        raise BadRequestError(
            f'tool_choice {choice!r} needs a tool parser, which this server has not; use "none".', param="tool_choice"
        )


def _ready(model: Model, body: ChatRequest, name: str) -> Chat:
    """Blocking: renders and tokenizes. Raises BadRequestError, TooLargeError."""
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    param = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    text = rendered(model, body, {"reasoning_effort": body.reasoning_effort} if body.reasoning_effort else {})
    length = Length(asked or 0, param, body.truncate_prompt_tokens, body.truncation_side)
    prompt = encode(model, text, length, special=body.add_special_tokens)
    n = 1 if body.n is None else body.n
    if n > model.settings.max_documents:
        raise TooLargeError(f"n = {n} is over max_documents = {model.settings.max_documents}.", param="n")
    sampling = sampling_of(
        body,
        max_tokens=model.max_model_len - len(prompt) if asked is None else asked,
        n=n,
        logprobs=bool(body.logprobs),
        eos_token_ids=model.folder.eos_token_ids,
        vocabulary_size=model.vocabulary.size,
        defaults=model.folder.defaults,
        features=model.engine.features,
    )
    samplings = [replace(sampling, seed=(sampling.seed + index) % 2**63) for index in range(n)]
    rules = TextRules(stops(body), body.skip_special_tokens, body.include_stop_str_in_output)
    prefix = _last_answer(body) if body.echo else ""
    return Chat(name, now(), body, prompt, text, samplings, rules, prefix)


def _last_answer(body: ChatRequest) -> str:
    last = body.messages[-1]
    return last.content if last.role == "assistant" and isinstance(last.content, str) else ""


@dataclass(slots=True)
class _Answer:
    """One choice as it grows."""

    text: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    last: Delta | None = None

    def take(self, delta: Delta) -> None:
        self.text.append(delta.text)
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs
        self.last = delta


async def _whole(model: Model, chat: Chat) -> ChatCompletion:
    answers = [_Answer() for _ in chat.samplings]
    with submitted(model.queue, [chat.prompt] * len(answers), chat.samplings) as generations:
        streams = [deltas(model, generation, chat.rules) for generation in generations]
        async with aclosing(interleaved(streams)) as arriving:
            async for index, delta in arriving:
                answers[index].take(delta)
    body = chat.body
    return ChatCompletion(
        id=chat.id,
        created=chat.created,
        model=model.name,
        choices=[_choice(model, chat, index, answer) for index, answer in enumerate(answers)],
        system_fingerprint=model.fingerprint,
        usage=Usage.model_validate(_usage(chat, sum(len(answer.token_ids) for answer in answers))),
        prompt_token_ids=chat.prompt if body.return_token_ids else None,
        prompt_text=chat.text if body.return_prompt_text else None,
    )


def _choice(model: Model, chat: Chat, index: int, answer: _Answer) -> ChatChoice:
    assert answer.last is not None  # noqa: S101  every sequence has a last delta
    body = chat.body
    return ChatChoice(
        index=index,
        message=AnswerMessage(content=chat.prefix + "".join(answer.text)),
        logprobs=_logprobs(model, answer.token_ids, answer.logprobs, body) if body.logprobs else None,
        finish_reason=answer.last.finish_reason,
        stop_reason=answer.last.stop_reason,
        token_ids=answer.token_ids if body.return_token_ids else None,
    )


async def _chunks(model: Model, chat: Chat) -> AsyncGenerator[dict[str, Any], None]:
    """In vLLM's order: the roles, the text, the usage."""
    options = chat.body.stream_options
    running = bool(options and options.continuous_usage_stats and options.include_usage)
    written = 0
    with submitted(model.queue, [chat.prompt] * len(chat.samplings), chat.samplings) as generations:
        streams = [deltas(model, generation, chat.rules) for generation in generations]
        async with aclosing(interleaved(streams)) as arriving:
            begun = False
            async for index, delta in arriving:
                if not begun:
                    begun = True
                    for chunk in _openings(model, chat, running=running):
                        yield chunk
                written += len(delta.token_ids)
                if delta.text or delta.finish_reason or chat.body.return_token_ids:
                    yield _chunk(model, chat, [_stream_choice(model, chat, index, delta)]) | (
                        {"usage": _usage(chat, written)} if running else {}
                    )
    if options and options.include_usage:
        yield _chunk(model, chat, []) | {"usage": _usage(chat, written), "system_fingerprint": model.fingerprint}


def _openings(model: Model, chat: Chat, *, running: bool) -> list[dict[str, Any]]:
    body, made = chat.body, []
    given = {
        "prompt_token_ids": chat.prompt if body.return_token_ids else None,
        "prompt_text": chat.text if body.return_prompt_text else None,
    }
    usage = {"usage": _usage(chat, 0)} if running else {}
    for content in ("", chat.prefix) if chat.prefix else ("",):
        role = {"role": "assistant"} if not content else {}
        for index in range(len(chat.samplings)):
            choice = {"index": index, "delta": {**role, "content": content}, "logprobs": None, "finish_reason": None}
            made.append(_chunk(model, chat, [choice]) | (given if role else {}) | usage)
    return made


def _stream_choice(model: Model, chat: Chat, index: int, delta: Delta) -> dict[str, Any]:
    body = chat.body
    logprobs = _logprobs(model, delta.token_ids, delta.logprobs, body).model_dump() if body.logprobs else None
    choice = {
        "index": index,
        "delta": {"content": delta.text},
        "logprobs": logprobs,
        "finish_reason": delta.finish_reason,
    }
    if delta.finish_reason is not None:
        choice["stop_reason"] = delta.stop_reason
    return choice | {"token_ids": list(delta.token_ids) if body.return_token_ids else None}


def _chunk(model: Model, chat: Chat, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": chat.id,
        "object": "chat.completion.chunk",
        "created": chat.created,
        "model": model.name,
        "choices": choices,
    }


def _usage(chat: Chat, written: int) -> dict[str, int]:
    return {"prompt_tokens": len(chat.prompt), "total_tokens": len(chat.prompt) + written, "completion_tokens": written}


def _logprobs(model: Model, token_ids: Sequence[int], logprobs: Sequence[float], body: ChatRequest) -> ChatLogprobs:
    content = []
    for token_id, logprob in zip(token_ids, logprobs, strict=False):
        raw = model.vocabulary.raw(token_id)
        token = f"token_id:{token_id}" if body.return_tokens_as_token_ids else raw.decode("utf-8", "replace")
        content.append(ChatLogprob(token=token, logprob=logprob, bytes=list(raw)))
    return ChatLogprobs(content=content)
