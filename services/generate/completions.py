"""POST /v1/completions, whole and streamed: prompts as texts or token ids, each with n choices."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter

from services.errors import BadRequestError
from services.generate.deltas import Answer, Delta, Order, answers, generated
from services.generate.model import Model
from services.generate.prompt import Length, encode, fit
from services.generate.sampling import check_stream, check_top_logprobs, rules_of, samplings_of
from services.generate.structure import check_structure
from services.http.invocations import Invocation
from services.http.server import answer_id, served
from services.http.sse import STREAM, streamed
from services.protocol import Usage
from services.protocol.completion import Completion, CompletionChoice, CompletionLogprobs, CompletionRequest


@dataclass(frozen=True, slots=True)
class Plain:
    """A completion as it is answered."""

    body: CompletionRequest
    order: Order
    echoed: Sequence[str]
    """What stands before each choice's text; empty strings without `echo`."""


def completions_router(model: Model) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions", response_model=Completion, responses={200: STREAM})
    async def completions(request: Request, body: CompletionRequest) -> Completion | StreamingResponse:
        return await _answer(model, request, body)

    return router


def completion_invocation(model: Model) -> Invocation:
    async def invoke(request: Request, body: CompletionRequest) -> Response:
        answer = await _answer(model, request, body)
        return answer if isinstance(answer, Response) else JSONResponse(answer.model_dump())

    return Invocation("CompletionRequest", TypeAdapter(CompletionRequest), invoke)


async def _answer(model: Model, request: Request, body: CompletionRequest) -> Completion | StreamingResponse:
    served(request).check_model(body.model, aliases=True)
    _check(body)
    plain = await model.read(request, lambda: _ready(model, body, answer_id("cmpl", request, body.request_id)))
    await check_structure(model, body, plain.order.samplings[0])
    return await streamed(_chunks(model, plain)) if body.stream else await _whole(model, plain)


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


def _ready(model: Model, body: CompletionRequest, name: str) -> Plain:
    """Blocking: tokenizes. Raises BadRequestError, TooLargeError."""
    length = Length(body.max_tokens or 0, "max_tokens", body.truncate_prompt_tokens, body.truncation_side)
    prompts = [_ids(model, each, length, special=body.add_special_tokens) for each in _each(body)]
    samplings, repeated = [], []
    for prompt in prompts:
        max_tokens = model.max_model_len - len(prompt) if body.max_tokens is None else body.max_tokens
        if body.echo and not max_tokens:  # the prompt alone
            max_tokens = 1
        made = samplings_of(
            model, body, max_tokens=max_tokens, n=body.n, logprobs=body.logprobs is not None, times=len(prompts)
        )
        samplings += made
        repeated += [prompt] * len(made)
    check_top_logprobs(samplings[0], body.logprobs or 0, param="logprobs")
    echoed = [model.vocabulary.decode(prompt) if body.echo else "" for prompt in repeated]
    return Plain(body, Order(name, repeated, samplings, rules_of(body), sum(map(len, prompts))), echoed)


def _each(body: CompletionRequest) -> Sequence[str | list[int]]:
    prompt = body.prompt
    if isinstance(prompt, str):
        return [prompt]
    if prompt and isinstance(prompt[0], int):
        return [prompt]
    return cast("list[str] | list[list[int]]", prompt)


def _ids(model: Model, prompt: str | list[int], length: Length, *, special: bool) -> list[int]:
    return encode(model, prompt, length, special=special) if isinstance(prompt, str) else fit(model, prompt, length)


async def _whole(model: Model, plain: Plain) -> Completion:
    order = plain.order
    made = await answers(model, order)
    return Completion(
        id=order.id,
        created=order.created,
        model=model.name,
        choices=[_choice(model, plain, index, answer) for index, answer in enumerate(made)],
        system_fingerprint=model.fingerprint,
        usage=Usage.model_validate(order.usage(sum(len(answer.token_ids) for answer in made))),
    )


def _choice(model: Model, plain: Plain, index: int, answer: Answer) -> CompletionChoice:
    ids = plain.body.return_token_ids
    return CompletionChoice(
        index=index,
        text=plain.echoed[index] + ("" if plain.body.max_tokens == 0 else answer.text),
        logprobs=_logprobs(model, plain.body, answer.token_ids, answer.logprobs, offset=0),
        finish_reason=answer.finish_reason,
        stop_reason=answer.stop_reason,
        token_ids=answer.token_ids if ids else None,
        prompt_token_ids=list(plain.order.prompts[index]) if ids else None,
    )


async def _chunks(model: Model, plain: Plain) -> AsyncGenerator[dict[str, Any], None]:
    order, options = plain.order, plain.body.stream_options
    wants_usage = bool(options and options.include_usage)
    running = wants_usage and bool(options and options.continuous_usage_stats)
    written = 0
    so_far: dict[int, int] = {}
    async with aclosing(generated(model, order)) as arriving:
        async for index, delta in arriving:
            written += len(delta.token_ids)
            offset = so_far.get(index)
            so_far[index] = (offset or 0) + len(delta.text)
            choice = _stream_choice(model, plain, index, delta, offset)
            chunk = _chunk(model, order, [choice]) | ({"usage": order.usage(written)} if running else {})
            ended = delta.finish_reason is not None and not wants_usage
            yield chunk | ({"system_fingerprint": model.fingerprint} if ended else {})
    if wants_usage:
        yield _chunk(model, order, []) | {"usage": order.usage(written), "system_fingerprint": model.fingerprint}


def _stream_choice(model: Model, plain: Plain, index: int, delta: Delta, offset: int | None) -> dict[str, Any]:
    """offset: characters of the choice that went before; None for its first chunk."""
    body = plain.body
    logprobs = _logprobs(model, body, delta.token_ids, delta.logprobs, offset=offset or 0)
    text = "" if body.max_tokens == 0 else delta.text
    first = offset is None
    return {
        "index": index,
        "text": (plain.echoed[index] if first else "") + text,
        "logprobs": logprobs.model_dump() if logprobs else None,
        "finish_reason": delta.finish_reason,
        "stop_reason": delta.stop_reason,
        "prompt_token_ids": list(plain.order.prompts[index]) if first and body.return_token_ids else None,
        "token_ids": list(delta.token_ids) if body.return_token_ids else None,
    }


def _chunk(model: Model, order: Order, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    head = {"id": order.id, "object": "text_completion", "created": order.created, "model": model.name}
    return head | {"choices": choices}


def _logprobs(
    model: Model, body: CompletionRequest, token_ids: Sequence[int], logprobs: Sequence[float], *, offset: int
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
