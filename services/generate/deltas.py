"""From what the engine gives to what the client gets: text, as it becomes certain, of one sequence or of several."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.engines.generator import Generation, Piece, Sampling
from services.errors import RaglineError
from services.generate.detokenizer import Detokenizer
from services.generate.model import Model
from services.generate.queue import GenerationQueue


@dataclass(frozen=True, slots=True)
class Delta:
    """What is new of one sequence; its last has a finish_reason. stop_reason: the stop string or token behind it."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[float]
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass(frozen=True, slots=True)
class TextRules:
    """How tokens become text, and which text ends it."""

    stop: Sequence[str] = ()
    skip_special: bool = True
    include_stop: bool = False


@contextmanager
def submitted(
    queue: GenerationQueue, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]
) -> Iterator[list[Generation]]:
    """All of them or none in the queue; what is left of their work is dropped at the end. Raises OverloadedError."""
    generations: list[Generation] = []
    try:
        for prompt, sampling in zip(prompts, samplings, strict=True):
            generations.append(queue.submit(prompt, sampling))
        yield generations
    finally:
        for generation in generations:
            queue.release(generation)


async def deltas(model: Model, generation: Generation, rules: TextRules) -> AsyncIterator[Delta]:
    """Raises the RaglineError that the generation fails with."""
    sampling = generation.sampling
    detokenizer = Detokenizer(model.vocabulary, rules.stop, rules.skip_special, rules.include_stop, sampling.min_tokens)
    async for piece in generation:
        delta = _delta(piece, detokenizer, model, sampling, rules)
        if delta.text or delta.token_ids or delta.finish_reason:
            yield delta
        if delta.finish_reason is not None:
            return


def _delta(piece: Piece, detokenizer: Detokenizer, model: Model, sampling: Sampling, rules: TextRules) -> Delta:
    text, taken = "", 0
    finish: str | None = piece.finish
    reason: int | str | None = None
    for token in piece.token_ids:
        taken += 1
        if token in sampling.stop_token_ids:
            finish, reason = "stop", None if token in model.folder.eos_token_ids else token
            if rules.include_stop:
                text += detokenizer.feed(token)
            break
        text += detokenizer.feed(token)
        if detokenizer.stopped_by is not None:
            finish, reason = "stop", detokenizer.stopped_by
            break
    if finish is not None and detokenizer.stopped_by is None:
        text += detokenizer.rest()
    return Delta(text, piece.token_ids[:taken], piece.logprobs[:taken], finish, reason)


async def interleaved(streams: Sequence[AsyncIterator[Delta]]) -> AsyncGenerator[tuple[int, Delta], None]:
    """(index of the stream, delta), as they come. The first error ends all."""
    arrived: asyncio.Queue[tuple[int, Delta] | RaglineError | None] = asyncio.Queue()

    async def drain(index: int, stream: AsyncIterator[Delta]) -> None:
        try:
            async for delta in stream:
                arrived.put_nowait((index, delta))
            arrived.put_nowait(None)
        except RaglineError as exc:
            arrived.put_nowait(exc)

    tasks = [asyncio.create_task(drain(index, stream)) for index, stream in enumerate(streams)]
    left = len(tasks)
    try:
        while left:
            got = await arrived.get()
            if isinstance(got, RaglineError):
                raise got
            if got is None:
                left -= 1
            else:
                yield got
    finally:
        for task in tasks:
            task.cancel()
