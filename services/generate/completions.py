"""POST /v1/completions, whole and streamed: prompts as texts or token ids, each with n choices."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter

from services.errors import BadRequestError
from services.generate.deltas import CompletedChoice, Delta, GenerationTask, collect_choices, stream_deltas
from services.generate.generator_model import GeneratorModel
from services.generate.prompt import LengthLimits, encode, fit_to_context
from services.generate.sampling import check_stream, check_top_logprobs, sampling_params, text_rules
from services.generate.structure import check_structure
from services.http.invocations import Invocation
from services.http.server import get_service, response_id
from services.http.sse import STREAM, event_stream
from services.protocol import Usage
from services.protocol.completion import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest


@dataclass(frozen=True, slots=True)
class CompletionTask:
    body: CompletionRequest
    task: GenerationTask
    echoed: Sequence[str]
    """Each choice's prompt as text, to go before its answer; empty strings without `echo`."""


def completions_router(model: GeneratorModel) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions", response_model=Completion, responses={200: STREAM})
    @router.post("/openai/v1/completions", response_model=Completion, responses={200: STREAM})
    async def completions(request: Request, body: CompletionRequest) -> Completion | StreamingResponse:
        return await _answer(model, request, body)

    return router


def completion_invocation(model: GeneratorModel) -> Invocation:
    async def invoke(request: Request, body: CompletionRequest) -> Response:
        answer = await _answer(model, request, body)
        return answer if isinstance(answer, Response) else JSONResponse(answer.model_dump())

    return Invocation("CompletionRequest", TypeAdapter(CompletionRequest), invoke)


async def _answer(model: GeneratorModel, request: Request, body: CompletionRequest) -> Completion | StreamingResponse:
    get_service(request).check_model(body.model, aliases=True)
    _check(body)
    completion = await model.read(request, lambda: _ready(model, body, response_id("cmpl", request, body.request_id)))
    await check_structure(model, body, completion.task.samplings[0])
    return await event_stream(_chunks(model, completion)) if body.stream else await _whole(model, completion)


def _check(body: CompletionRequest) -> None:
    check_stream(body)
    if body.suffix is not None:
        raise BadRequestError("suffix is not currently supported", param="suffix")
    if body.prompt_embeds is not None:
        raise BadRequestError("prompt_embeds is not supported; send `prompt`.", param="prompt_embeds")
    if body.prompt is None or body.prompt in ("", []):
        raise BadRequestError(
            "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)", param="prompt"
        )
    if body.logprobs is not None and body.logprobs < 0:
        raise BadRequestError("`logprobs` must be a positive value.", param="logprobs")
    if body.echo and body.logprobs is not None:
        raise BadRequestError("the engine has no logprobs of a prompt; leave out `echo` or `logprobs`.", param="echo")


def _ready(model: GeneratorModel, body: CompletionRequest, name: str) -> CompletionTask:
    """Blocking: tokenizes. Raises BadRequestError, TooLargeError."""
    length = LengthLimits(body.max_tokens or 0, "max_tokens", body.truncate_prompt_tokens, body.truncation_side)
    prompts = [_ids(model, each, length, special=body.add_special_tokens) for each in _each(body)]
    samplings, repeated = [], []
    for prompt in prompts:
        max_tokens = model.max_model_len - len(prompt) if body.max_tokens is None else body.max_tokens
        if body.echo and not max_tokens:  # the prompt alone
            max_tokens = 1
        made = sampling_params(
            model, body, max_tokens=max_tokens, n=body.n, logprobs=body.logprobs is not None, times=len(prompts)
        )
        samplings += made
        repeated += [prompt] * len(made)
    check_top_logprobs(samplings[0], body.logprobs or 0, param="logprobs")
    echoed = [model.vocabulary.decode(prompt) if body.echo else "" for prompt in repeated]
    return CompletionTask(
        body, GenerationTask(name, repeated, samplings, text_rules(body), sum(map(len, prompts))), echoed
    )


def _each(body: CompletionRequest) -> Sequence[str | list[int]]:
    prompt = body.prompt
    if isinstance(prompt, str):
        return [prompt]
    if prompt and isinstance(prompt[0], int):
        return [prompt]
    return cast("list[str] | list[list[int]]", prompt)


def _ids(model: GeneratorModel, prompt: str | list[int], length: LengthLimits, *, special: bool) -> list[int]:
    return (
        encode(model, prompt, length, special=special)
        if isinstance(prompt, str)
        else fit_to_context(model, prompt, length)
    )


async def _whole(model: GeneratorModel, completion: CompletionTask) -> Completion:
    task = completion.task
    made = await collect_choices(model, task)
    return Completion(
        id=task.id,
        created=task.created,
        model=model.name,
        choices=[_choice(model, completion, index, answer) for index, answer in enumerate(made)],
        system_fingerprint=model.fingerprint,
        usage=Usage.model_validate(task.usage(sum(len(answer.token_ids) for answer in made))),
    )


def _choice(model: GeneratorModel, completion: CompletionTask, index: int, answer: CompletedChoice) -> CompletionChoice:
    ids = completion.body.return_token_ids
    return CompletionChoice(
        index=index,
        text=completion.echoed[index] + ("" if completion.body.max_tokens == 0 else answer.text),
        logprobs=_logprobs(model, completion.body, answer.token_ids, answer.logprobs, offset=0),
        finish_reason=answer.finish_reason,
        stop_reason=answer.stop_reason,
        token_ids=answer.token_ids if ids else None,
        prompt_token_ids=list(completion.task.prompts[index]) if ids else None,
    )


async def _chunks(model: GeneratorModel, completion: CompletionTask) -> AsyncGenerator[dict[str, Any], None]:
    task, options = completion.task, completion.body.stream_options
    wants_usage = bool(options and options.include_usage)
    running = wants_usage and bool(options and options.continuous_usage_stats)
    written = 0
    so_far: dict[int, int] = {}
    async with aclosing(stream_deltas(model, task)) as arriving:
        async for index, delta in arriving:
            written += len(delta.token_ids)
            offset = so_far.get(index)
            so_far[index] = (offset or 0) + len(delta.text)
            choice = _stream_choice(model, completion, index, delta, offset)
            chunk = _chunk(model, task, [choice]) | ({"usage": task.usage(written)} if running else {})
            ended = delta.finish_reason is not None and not wants_usage
            yield chunk | ({"system_fingerprint": model.fingerprint} if ended else {})
    if wants_usage:
        yield _chunk(model, task, []) | {"usage": task.usage(written), "system_fingerprint": model.fingerprint}


def _stream_choice(
    model: GeneratorModel, completion: CompletionTask, index: int, delta: Delta, offset: int | None
) -> dict[str, Any]:
    """offset: characters of the choice that went before; None for its first chunk."""
    body = completion.body
    logprobs = _logprobs(model, body, delta.token_ids, delta.logprobs, offset=offset or 0)
    text = "" if body.max_tokens == 0 else delta.text
    first = offset is None
    return {
        "index": index,
        "text": (completion.echoed[index] if first else "") + text,
        "logprobs": logprobs.model_dump() if logprobs else None,
        "finish_reason": delta.finish_reason,
        "stop_reason": delta.stop_reason,
        "prompt_token_ids": list(completion.task.prompts[index]) if first and body.return_token_ids else None,
        "token_ids": list(delta.token_ids) if body.return_token_ids else None,
    }


def _chunk(model: GeneratorModel, task: GenerationTask, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    head = {"id": task.id, "object": "text_completion", "created": task.created, "model": model.name}
    return head | {"choices": choices}


def _logprobs(
    model: GeneratorModel, body: CompletionRequest, token_ids: Sequence[int], logprobs: Sequence[float], *, offset: int
) -> CompletionLogprobs | None:
    if body.logprobs is None:
        return None
    made = CompletionLogprobs(token_logprobs=list(logprobs))
    for token_id, logprob in zip(token_ids, logprobs, strict=True):
        token = model.vocabulary.shown(token_id, as_id=bool(body.return_tokens_as_token_ids))
        made.tokens.append(token)
        made.text_offset.append(offset)
        made.top_logprobs.append({token: logprob})
        offset += len(token)
    return made
