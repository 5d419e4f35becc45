"""POST /v1/chat/completions, whole and streamed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter

from services.errors import BadRequestError
from services.generate.deltas import CompletedChoice, Delta, GenerationTask, collect_choices, stream_deltas
from services.generate.generator_model import GeneratorModel
from services.generate.prompt import LengthLimits, encode, render_chat
from services.generate.sampling import check_stream, check_top_logprobs, sampling_params, text_rules
from services.generate.structure import check_structure
from services.http.invocations import Invocation
from services.http.server import get_service, response_id
from services.http.sse import STREAM, event_stream
from services.protocol import Usage
from services.protocol.chat import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatLogprob,
    ChatLogprobs,
    ChatRequest,
)


@dataclass(frozen=True, slots=True)
class ChatTask:
    body: ChatRequest
    task: GenerationTask
    text: str
    """The rendered prompt."""
    prefix: str
    """With `echo`, the last message, which the answer continues."""


def chat_router(model: GeneratorModel) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/chat/completions", response_model=ChatCompletion, responses={200: STREAM})
    @router.post("/openai/v1/chat/completions", response_model=ChatCompletion, responses={200: STREAM})
    async def chat_completions(request: Request, body: ChatRequest) -> ChatCompletion | StreamingResponse:
        return await _answer(model, request, body)

    return router


def chat_invocation(model: GeneratorModel) -> Invocation:
    async def invoke(request: Request, body: ChatRequest) -> Response:
        answer = await _answer(model, request, body)
        return answer if isinstance(answer, Response) else JSONResponse(answer.model_dump())

    return Invocation("ChatCompletionRequest", TypeAdapter(ChatRequest), invoke)


async def _answer(model: GeneratorModel, request: Request, body: ChatRequest) -> ChatCompletion | StreamingResponse:
    get_service(request).check_model(body.model, aliases=True)
    if model.settings.ignore_tools:
        body = body.model_copy(update={"tools": None, "tool_choice": None})
    _check(body)
    chat = await model.read(request, lambda: _ready(model, body, response_id("chatcmpl", request, body.request_id)))
    await check_structure(model, body, chat.task.samplings[0])
    return await event_stream(_chunks(model, chat)) if body.stream else await _whole(model, chat)


def _check(body: ChatRequest) -> None:
    """Raises BadRequestError for fields that need no look at the messages."""
    check_stream(body)
    top = body.top_logprobs or 0
    if top < 0 and top != -1:
        raise BadRequestError(
            "`top_logprobs` must be a positive value or -1. (parameter=top_logprobs)", param="top_logprobs"
        )
    if top and not body.logprobs:
        raise BadRequestError(
            "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)", param="top_logprobs"
        )
    if body.tools == []:
        raise BadRequestError(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely. "
            "(parameter=tools)",
            param="tools",
        )
    if body.tool_choice not in (None, "none") and not body.tools:
        raise BadRequestError(
            "When using `tool_choice`, `tools` must be set. (parameter=tool_choice)", param="tool_choice"
        )
    choice = body.tool_choice or ("auto" if body.tools and "tool_choice" not in body.model_fields_set else "none")
    if choice != "none":
        raise BadRequestError(
            f"tool_choice {choice!r} needs a tool parser, and this server has none; generate.ignore_tools drops it.",
            param="tool_choice",
        )


def _ready(model: GeneratorModel, body: ChatRequest, name: str) -> ChatTask:
    """Blocking: renders and tokenizes. Raises BadRequestError, TooLargeError."""
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    param = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    text = render_chat(model, body, {"reasoning_effort": body.reasoning_effort} if body.reasoning_effort else {})
    length = LengthLimits(asked or 0, param, body.truncate_prompt_tokens, body.truncation_side)
    prompt = encode(model, text, length, special=body.add_special_tokens)
    max_tokens = model.max_model_len - len(prompt) if asked is None else asked
    n = 1 if body.n is None else body.n
    samplings = sampling_params(model, body, max_tokens=max_tokens, n=n, logprobs=bool(body.logprobs))
    check_top_logprobs(samplings[0], body.top_logprobs or 0, param="top_logprobs")
    task = GenerationTask(name, [prompt] * n, samplings, text_rules(body), len(prompt))
    return ChatTask(body, task, text, _last_answer(body) if body.echo else "")


def _last_answer(body: ChatRequest) -> str:
    last = body.messages[-1]
    return last.content if last.role == "assistant" and isinstance(last.content, str) else ""


async def _whole(model: GeneratorModel, chat: ChatTask) -> ChatCompletion:
    body, task = chat.body, chat.task
    made = await collect_choices(model, task)
    return ChatCompletion(
        id=task.id,
        created=task.created,
        model=model.name,
        choices=[_choice(model, chat, index, answer) for index, answer in enumerate(made)],
        system_fingerprint=model.fingerprint,
        usage=Usage.model_validate(task.usage(sum(len(answer.token_ids) for answer in made))),
        prompt_token_ids=list(task.prompts[0]) if body.return_token_ids else None,
        prompt_text=chat.text if body.return_prompt_text else None,
    )


def _choice(model: GeneratorModel, chat: ChatTask, index: int, answer: CompletedChoice) -> ChatChoice:
    return ChatChoice(
        index=index,
        message=AnswerMessage(content=chat.prefix + answer.text),
        logprobs=_logprobs(model, chat.body, answer.token_ids, answer.logprobs),
        finish_reason=answer.finish_reason,
        stop_reason=answer.stop_reason,
        token_ids=answer.token_ids if chat.body.return_token_ids else None,
    )


async def _chunks(model: GeneratorModel, chat: ChatTask) -> AsyncGenerator[dict[str, Any], None]:
    """In vLLM's task: the roles, the text, the usage."""
    task, options = chat.task, chat.body.stream_options
    wants_usage = bool(options and options.include_usage)
    running = wants_usage and bool(options and options.continuous_usage_stats)
    written, begun = 0, False
    async with aclosing(stream_deltas(model, task)) as arriving:
        async for index, delta in arriving:
            for opening in () if begun else _openings(chat):
                yield _chunk(model, task, opening) | ({"usage": task.usage(0)} if running else {})
            begun = True
            written += len(delta.token_ids)
            if delta.text or delta.finish_reason or chat.body.return_token_ids or chat.body.logprobs:
                choice = {"choices": [_stream_choice(model, chat, index, delta)]}
                chunk = _chunk(model, task, choice) | ({"usage": task.usage(written)} if running else {})
                ended = delta.finish_reason is not None and not wants_usage
                yield chunk | ({"system_fingerprint": model.fingerprint} if ended else {})
    if wants_usage:
        last = {"choices": [], "usage": task.usage(written), "system_fingerprint": model.fingerprint}
        yield _chunk(model, task, last)


def _openings(chat: ChatTask) -> list[dict[str, Any]]:
    """The first chunk of each choice names the role; with `echo` a second one repeats the message."""
    prompt = {
        "prompt_token_ids": list(chat.task.prompts[0]) if chat.body.return_token_ids else None,
        "prompt_text": chat.text if chat.body.return_prompt_text else None,
    }
    indices = range(len(chat.task.samplings))
    made = [{"choices": [_opening(index, {"role": "assistant", "content": ""})]} | prompt for index in indices]
    if chat.prefix:
        made += [{"choices": [_opening(index, {"content": chat.prefix})]} for index in indices]
    return made


def _opening(index: int, delta: dict[str, str]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _stream_choice(model: GeneratorModel, chat: ChatTask, index: int, delta: Delta) -> dict[str, Any]:
    logprobs = _logprobs(model, chat.body, delta.token_ids, delta.logprobs)
    choice: dict[str, Any] = {
        "index": index,
        "delta": {"content": delta.text},
        "logprobs": logprobs.model_dump() if logprobs else None,
        "finish_reason": delta.finish_reason,
    }
    if delta.finish_reason is not None:
        choice["stop_reason"] = delta.stop_reason
    return choice | {"token_ids": list(delta.token_ids) if chat.body.return_token_ids else None}


def _chunk(model: GeneratorModel, task: GenerationTask, rest: dict[str, Any]) -> dict[str, Any]:
    head = {"id": task.id, "object": "chat.completion.chunk", "created": task.created, "model": model.name}
    return head | rest


def _logprobs(
    model: GeneratorModel, body: ChatRequest, token_ids: Sequence[int], logprobs: Sequence[float]
) -> ChatLogprobs | None:
    if not body.logprobs:
        return None
    content = []
    for token_id, logprob in zip(token_ids, logprobs, strict=True):
        token = model.vocabulary.shown(token_id, as_id=bool(body.return_tokens_as_token_ids))
        one = ChatLogprob(token=token, logprob=logprob, bytes=list(model.vocabulary.raw(token_id)))
        content.append(one.model_copy(update={"top_logprobs": [one.model_dump()] if body.top_logprobs else []}))
    return ChatLogprobs(content=content)
