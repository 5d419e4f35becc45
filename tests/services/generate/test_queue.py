"""The queue in front of a generator."""

import asyncio
from collections.abc import Mapping

import pytest

from services.engines.generator.interface import CPU_STEP_TOKENS, Capacity, Generation, Piece, Sampling
from services.errors import OverloadedError
from services.generate.generation_metrics import GenerationMetrics
from services.generate.open import open_engine
from services.generate.queue import GenerationQueue
from services.http.metrics import Metrics
from services.settings import GeneratorSettings

FEW = Sampling(max_tokens=16)


class Busy:
    """An engine with room for `sequences`, that is at work on each of them for ever."""

    features = frozenset()
    dead = None

    def __init__(self, sequences: int) -> None:
        self.capacity = Capacity(sequences, 100_000)
        self.running: list[Generation] = []

    def add(self, generation: Generation) -> None:
        self.running.append(generation)

    def cancel(self, generation: Generation) -> None:
        self.running.remove(generation)

    async def stop(self) -> None: ...


class Prompt(list[int]):
    """Counts how often anybody asks for its length."""

    asked = 0

    def __len__(self) -> int:
        Prompt.asked += 1
        return super().__len__()


def queue_of(engine: Busy, metrics: Metrics, *, max_queue_tokens: int = 1_000_000) -> GenerationQueue:
    return GenerationQueue(engine, max_queue_tokens=max_queue_tokens, metrics=GenerationMetrics(metrics))


def waiting(metrics: Metrics) -> tuple[float | None, float | None]:
    """Requests and tokens, as /metrics tells them."""
    names = ("vllm:num_requests_waiting", "te_queue_tokens")
    requests, tokens = (metrics.registry.get_sample_value(name, {"model_name": "m"}) for name in names)
    return requests, tokens


def test_what_waits_is_counted_and_admitted_oldest_first():
    engine, metrics = Busy(2), Metrics("m")
    queue = queue_of(engine, metrics)
    first, second, third, fourth = (queue.submit([7] * n, FEW) for n in (10, 20, 30, 40))
    assert (engine.running, waiting(metrics)) == ([first, second], (2, 70))
    queue.release(third)
    queue.release(third)
    assert waiting(metrics) == (1, 40)
    queue.release(first)
    assert (engine.running, waiting(metrics)) == ([second, fourth], (0, 0))


def test_the_work_of_a_request_does_not_grow_with_the_queue():
    queue = queue_of(Busy(4), Metrics("m"))
    generations = [queue.submit(Prompt([7] * 20), FEW) for _ in range(1000)]
    for generation in generations[500:]:
        queue.release(generation)
    assert Prompt.asked < 20 * len(generations)


class Watching(GenerationQueue):
    """Notes each new `last_forward`."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.seen: list[float] = []
        self.before_a_piece: list[float] = []

    def on_step(self, gauges: Mapping[str, float]) -> None:
        super().on_step(gauges)
        self.seen += [self.last_forward] if self.last_forward not in self.seen else []

    def on_piece(self, generation: Generation, piece: Piece) -> None:
        self.before_a_piece = self.before_a_piece or list(self.seen)
        super().on_piece(generation, piece)


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_engine_that_reads_a_long_prompt_is_seen_to_work(folder):
    prompt = [5 + n % 999 for n in range(4 * CPU_STEP_TOKENS)]
    engine = open_engine(GeneratorSettings(model="m"), folder, len(prompt) + 8)
    queue = Watching(engine, max_queue_tokens=len(prompt), metrics=GenerationMetrics(Metrics("m")))
    await queue.start()
    generation = queue.submit(prompt, Sampling(max_tokens=1, temperature=0.0))
    assert [piece.finish async for piece in generation] == ["length"]
    queue.release(generation)
    await queue.stop()
    assert len(queue.before_a_piece) >= 3, "a step reads CPU_STEP_TOKENS of it"


@pytest.mark.anyio
async def test_a_full_queue_is_no_failed_check():
    engine = Busy(1)
    queue = queue_of(engine, Metrics("m"), max_queue_tokens=20)
    queue.submit([7], FEW)
    queue.submit([7] * 20, FEW)
    with pytest.raises(OverloadedError):
        queue.submit([7], FEW)
    check = asyncio.create_task(queue.check())
    await asyncio.sleep(0)
    for generation in engine.running:  # each that ends lets the next one in
        queue.on_piece(generation, Piece([1], finish="length"))
    await check
    assert len(engine.running) == 3
