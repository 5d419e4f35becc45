"""The engine's tokens to text deltas, of one choice or of several at once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from services.engines.generator.interface import Generation, Piece, Sampling
from services.generate.detokenizer import Detokenizer
from services.generate.generator_model import GeneratorModel
from services.generate.queue import GenerationQueue
from services.protocol import now


@dataclass(frozen=True, slots=True)
class TextRules:
    """How tokens become text, and the strings that end it."""

    stop: Sequence[str] = ()
    skip_special: bool = True
    include_stop: bool = False


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """A tokenized request: one prompt and one sampling for each choice."""

    id: str
    prompts: Sequence[Sequence[int]]
    samplings: Sequence[Sampling]
    rules: TextRules
    prompt_tokens: int
    """For `usage`: each prompt once, however many choices it has."""
    created: int = field(default_factory=now)

    def usage(self, written: int) -> dict[str, int]:
        total = self.prompt_tokens + written
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": written}


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of one choice; the last has a finish_reason. stop_reason: the stop string or token that was met."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[float]
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass(slots=True)
class CompletedChoice:
    """All deltas of one choice."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None

    def take(self, delta: Delta) -> None:
        self.text += delta.text
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs
        self.finish_reason, self.stop_reason = delta.finish_reason, delta.stop_reason


async def collect_choices(model: GeneratorModel, task: GenerationTask) -> list[CompletedChoice]:
    """Raises OverloadedError, EngineError, UnavailableError."""
    made = [CompletedChoice() for _ in task.samplings]
    async with aclosing(stream_deltas(model, task)) as arriving:
        async for index, delta in arriving:
            made[index].take(delta)
    return made


async def stream_deltas(model: GeneratorModel, task: GenerationTask) -> AsyncGenerator[tuple[int, Delta], None]:
    """Yields (index of the choice, delta). Closing it cancels the work. Raises as `collect_choices` does."""
    with _submitted(model.queue, task) as generations:
        streams = [_deltas(model, generation, task.rules) for generation in generations]
        async with aclosing(_interleaved(streams)) as arriving:
            async for each in arriving:
                yield each


@contextmanager
def _submitted(queue: GenerationQueue, task: GenerationTask) -> Iterator[list[Generation]]:
    """Submits all choices or none; cancels what is unfinished at the end."""
    generations: list[Generation] = []
    try:
        for prompt, sampling in zip(task.prompts, task.samplings, strict=True):
            generations.append(queue.submit(prompt, sampling))
        yield generations
    finally:
        for generation in generations:
            queue.release(generation)


async def _deltas(model: GeneratorModel, generation: Generation, rules: TextRules) -> AsyncIterator[Delta]:
    sampling = generation.sampling
    detokenizer = Detokenizer(model.vocabulary, rules.stop, rules.skip_special, rules.include_stop, sampling.min_tokens)
    stop_token_ids = frozenset(sampling.stop_token_ids)
    async for piece in generation:
        delta = _delta(piece, detokenizer, model.folder.eos_token_ids, stop_token_ids)
        yield delta
        if delta.finish_reason is not None:
            model.queue.release(generation)  # the engine does not know of stop strings
            return


def _delta(piece: Piece, detokenizer: Detokenizer, eos: Sequence[int], stop_token_ids: frozenset[int]) -> Delta:
    text, taken = "", 0
    finish: str | None = piece.finish
    reason: int | str | None = None
    for token in piece.token_ids:
        taken += 1
        if token in stop_token_ids:
            finish, reason = "stop", None if token in eos else token
            text += detokenizer.feed(token) if detokenizer.include_stop else ""
        else:
            text += detokenizer.feed(token)
            if detokenizer.stopped_by is None:
                continue
            finish, reason = "stop", detokenizer.stopped_by
        break
    if finish is not None and detokenizer.stopped_by is None:
        text += detokenizer.rest()
    return Delta(text, piece.token_ids[:taken], piece.logprobs[:taken], finish, reason)


async def _interleaved(streams: Sequence[AsyncIterator[Delta]]) -> AsyncGenerator[tuple[int, Delta], None]:
    """Yields deltas of all streams as they arrive; the first error ends all streams."""
    if len(streams) == 1:
        async for delta in streams[0]:
            yield 0, delta
        return
    arrived: asyncio.Queue[tuple[int, Delta] | Exception | None] = asyncio.Queue()

    async def drain(index: int, stream: AsyncIterator[Delta]) -> None:
        try:
            async for delta in stream:
                arrived.put_nowait((index, delta))
            arrived.put_nowait(None)
        except Exception as exc:  # noqa: BLE001  whatever it is, somebody waits for it
            arrived.put_nowait(exc)

    tasks = [asyncio.create_task(drain(index, stream)) for index, stream in enumerate(streams)]
    left = len(tasks)
    try:
        while left:
            got = await arrived.get()
            if isinstance(got, Exception):
                raise got
            if got is None:
                left -= 1
            else:
                yield got
    finally:
        for task in tasks:
            task.cancel()
