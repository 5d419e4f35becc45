"""The process of a generator that ends, in all ways, with others waiting."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.engines.generator.interface import Capacity, Sampling
from services.engines.generator.process import MAX_DEATHS, GeneratorProcess
from services.errors import EngineError, RaglineError, UnavailableError
from services.generate.generation_metrics import GenerationMetrics
from services.generate.queue import GenerationQueue
from services.http.metrics import Metrics
from tests.services.engines.mortal import ANSWER, DIES, DIES_TAKING_IT, FAILS, HANGS, LEAVES_HALF_A_LINE

pytestmark = pytest.mark.anyio
WELL = 1


@asynccontextmanager
async def queue(*, load_s: float = 0.0, stall_s: float = 60.0) -> AsyncIterator[GenerationQueue]:
    """In front of two places."""
    engine = GeneratorProcess("tests.services.engines.mortal", {"load_s": load_s}, Capacity(2, 10_000), stall_s)
    queue = GenerationQueue(engine, max_queue_tokens=10_000, metrics=GenerationMetrics(Metrics("mortal")))
    await queue.start()
    try:
        yield queue
    finally:
        await queue.stop()


async def told(queue: GenerationQueue, prompt: int) -> list[int] | RaglineError:
    """What it answers, or the error."""
    generation = queue.submit([prompt], Sampling(max_tokens=4))
    try:
        async with asyncio.timeout(30):
            return [token async for piece in generation for token in piece.token_ids]
    except RaglineError as exc:
        return exc
    finally:
        queue.release(generation)


@pytest.mark.parametrize("end", [DIES, FAILS, LEAVES_HALF_A_LINE, DIES_TAKING_IT])
async def test_what_waits_while_the_process_dies_is_answered_by_the_next(end: int) -> None:
    async with queue() as waiting:
        first, second, *others = await asyncio.gather(*(told(waiting, prompt) for prompt in (end, WELL, WELL, WELL)))
        assert isinstance(first, EngineError)
        assert isinstance(second, EngineError) or second == [ANSWER]
        assert others == [[ANSWER], [ANSWER]]


async def test_a_process_that_hangs_is_ended_and_one_that_loads_is_waited_for() -> None:
    async with queue(load_s=1.5, stall_s=0.5) as waiting:
        first, *others = await asyncio.gather(*(told(waiting, prompt) for prompt in (HANGS, WELL, WELL, WELL)))
        assert isinstance(first, EngineError)
        assert others[1:] == [[ANSWER], [ANSWER]]
        assert waiting.dead is None


async def test_after_the_last_death_whatever_waits_fails_and_nothing_more_is_taken() -> None:
    async with queue() as waiting:
        found = await asyncio.gather(*(told(waiting, DIES) for _ in range(2 * MAX_DEATHS + 2)))
        assert all(isinstance(each, EngineError) for each in found)
        assert waiting.dead is not None
        with pytest.raises(UnavailableError, match=f"{MAX_DEATHS} times in a row"):
            waiting.submit([WELL], Sampling(max_tokens=1))


@pytest.mark.parametrize(
    ("options", "why"), [({"load_s": 60}, "not ready after"), ({"refuses": "no such device"}, "no such device")]
)
async def test_a_model_that_does_not_load_ends_the_start_with_the_reason(options: dict[str, object], why: str) -> None:
    engine = GeneratorProcess(
        "tests.services.engines.mortal",
        {"model": "m", **options},
        Capacity(2, 0),
        load_s=3.0 if "load_s" in options else 60.0,
    )
    with pytest.raises(EngineError, match=why):
        await engine.start(GenerationQueue(engine, max_queue_tokens=1, metrics=GenerationMetrics(Metrics("mortal"))))
    assert engine._process is not None
    assert engine._process.returncode is not None


def test_the_process_ends_with_its_input() -> None:
    """As it does where the service is killed."""
    command = [sys.executable, "-m", "tests.services.engines.mortal", '{"load_s": 0}']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert b"ready" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0
