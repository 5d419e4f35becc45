"""The queue in front of a generator."""

from services.engines.generator import Capacity, Generation, Sampling
from services.generate.counts import Counts
from services.generate.queue import GenerationQueue
from services.metrics import Metrics

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
    return GenerationQueue(engine, max_queue_tokens=max_queue_tokens, counts=Counts(metrics))


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
