"""The queue in front of an engine: answers, bounds, faults. The engines here are small but real: they sum token ids."""

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from services.encoder.batcher import Batcher
from services.engines.encoder.interface import Rows, Tokens
from services.errors import EngineError, OverloadedError, TooLargeError, UnavailableError
from services.http.metrics import Metrics

pytestmark = pytest.mark.anyio

POISON, NAN, FATAL = 666, 777, 888


class SumEncoder:
    """The sum of each input's ids; breaks on POISON, gives NaN for NAN, and for good on FATAL."""

    width = 1
    lanes = 1
    best_batch_tokens = 64
    padding_free = False

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[int]] = []
        self.broken = False
        self.hold = threading.Event()
        self.hold.set()

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        self.hold.wait(10)
        time.sleep(self.seconds)
        firsts = [int(tokens.ids[0]) for tokens in inputs]
        self.batches.append(firsts)
        self.broken |= FATAL in firsts
        if self.broken or POISON in firsts:
            raise RuntimeError("the kernel failed")
        sums = [np.nan if tokens.ids[0] == NAN else tokens.ids.sum() for tokens in inputs]
        return np.array(sums, dtype=np.float32)[:, None]

    def close(self) -> None: ...


def tokens(*ids: int) -> Tokens:
    return Tokens(np.array(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.int64))


async def started(encoder: SumEncoder, *, max_queue_tokens: int = 10_000) -> Batcher:
    batcher = Batcher(
        encoder, probe=tokens(1), max_batch_tokens=64, max_queue_tokens=max_queue_tokens, metrics=Metrics("test")
    )
    await batcher.start()
    return batcher


async def test_rows_come_back_in_the_order_of_the_inputs():
    batcher = await started(SumEncoder())
    inputs = [tokens(*[i] * (1 + i * 7 % 40)) for i in range(1, 100)]
    ran = await batcher.run(inputs)
    assert ran.rows[:, 0].tolist() == [float(t.ids.sum()) for t in inputs]
    await batcher.stop()


async def test_callers_share_batches_and_get_their_own():
    encoder = SumEncoder()
    batcher = await started(encoder)
    encoder.hold.clear()
    runs = [asyncio.create_task(batcher.run([tokens(i)])) for i in range(1, 50)]
    await asyncio.sleep(0.05)
    encoder.hold.set()
    rows = [run.rows[0, 0] for run in await asyncio.gather(*runs)]
    assert rows == list(range(1, 50))
    assert len(encoder.batches) <= 4, "the probe, the first, and what waited meanwhile"
    await batcher.stop()


async def test_a_failed_batch_fails_its_own_requests_only():
    batcher = await started(SumEncoder())
    poisoned = asyncio.create_task(batcher.run([tokens(*[POISON] * 60)]))
    sound = [asyncio.create_task(batcher.run([tokens(i, i)])) for i in range(1, 10)]
    with pytest.raises(EngineError, match="RuntimeError"):
        await poisoned
    assert [run.rows[0, 0] for run in await asyncio.gather(*sound)] == [2 * i for i in range(1, 10)]
    assert batcher.dead is None
    await batcher.stop()


async def test_nan_is_an_error_that_says_so_and_spares_the_batch():
    encoder = SumEncoder()
    batcher = await started(encoder)
    encoder.hold.clear()
    runs = [asyncio.create_task(batcher.run([tokens(i, 1)])) for i in (5, NAN, 6)]
    await asyncio.sleep(0.05)
    encoder.hold.set()
    five, nan, six = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(nan, EngineError)
    assert "NaN" in str(nan)
    assert (five.rows[0, 0], six.rows[0, 0]) == (6, 7)
    await batcher.stop()


async def test_an_engine_that_cannot_read_the_probe_is_dead_and_nobody_hangs():
    encoder = SumEncoder()
    batcher = await started(encoder)
    encoder.hold.clear()
    runs = [asyncio.create_task(batcher.run([tokens(*[FATAL] * 60)]))]
    await asyncio.sleep(0.05)
    runs += [asyncio.create_task(batcher.run([tokens(i)])) for i in range(20)]
    await asyncio.sleep(0.05)
    encoder.hold.set()
    failures = await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), 5)
    assert all(isinstance(f, EngineError | UnavailableError) for f in failures)
    assert batcher.dead is not None
    assert "the kernel failed" in batcher.dead
    with pytest.raises(UnavailableError, match="dead"):
        await batcher.run([tokens(1)])


async def test_a_full_queue_says_when_to_come_back():
    encoder = SumEncoder()
    batcher = await started(encoder, max_queue_tokens=100)
    with pytest.raises(TooLargeError, match="max_queue_tokens = 100"):
        await batcher.run([tokens(*[1] * 101)])
    encoder.hold.clear()
    first = asyncio.create_task(batcher.run([tokens(1)]))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(batcher.run([tokens(*[1] * 100)]))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="max_queue_tokens is 100") as caught:
        await batcher.run([tokens(*[1] * 20)])
    assert caught.value.retry_after is not None
    probe = asyncio.create_task(batcher.check())
    await asyncio.sleep(0)
    encoder.hold.set()
    await asyncio.gather(first, second, probe)
    assert batcher.queue_tokens == 0
    await batcher.stop()


async def test_what_a_client_abandoned_is_not_read():
    encoder = SumEncoder()
    batcher = await started(encoder)
    encoder.hold.clear()
    first = asyncio.create_task(batcher.run([tokens(1)]))
    await asyncio.sleep(0.05)
    inputs = [tokens(*[2] * 30) for _ in range(50)]
    abandoned = asyncio.create_task(batcher.run(inputs))
    kept = asyncio.create_task(batcher.run([tokens(3)]))
    await asyncio.sleep(0.05)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    encoder.hold.set()
    await asyncio.gather(first, kept)
    assert all(2 not in batch for batch in encoder.batches)
    assert batcher.queue_tokens == 0
    await batcher.stop()


async def test_a_request_of_one_waits_for_few_batches_beside_one_of_thousands():
    encoder = SumEncoder(seconds=0.01)
    batcher = await started(encoder, max_queue_tokens=100_000)
    inputs = [tokens(*[1] * 16) for _ in range(2000)]
    large = asyncio.create_task(batcher.run(inputs))
    await asyncio.sleep(0.1)
    waits = []
    for _ in range(20):
        before = len(encoder.batches)
        await batcher.run([tokens(2, 2)])
        waits.append(len(encoder.batches) - before)
    assert not large.done()
    assert max(waits) <= 3, "the running batch, its own, and one that may begin meanwhile"
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    await batcher.stop()


async def test_stopping_fails_what_comes_too_late():
    batcher = await started(SumEncoder())
    await batcher.stop()
    with pytest.raises(UnavailableError):
        await batcher.run([tokens(1)])


class SmallMemory(SumEncoder):
    """Has memory for `room` tokens of a batch, padding counted."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.sizes: list[int] = []

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        size = max(map(len, inputs)) * len(inputs)
        if size > self.room:
            raise MemoryError
        self.sizes.append(size)
        return super().forward(inputs)


async def test_a_batch_without_memory_is_halved_and_later_ones_are_no_larger():
    encoder = SmallMemory(40)
    batcher = await started(encoder)
    encoder.hold.clear()
    runs = [asyncio.create_task(batcher.run([tokens(*[i] * 8)])) for i in range(1, 17)]
    await asyncio.sleep(0.05)
    encoder.hold.set()
    assert [run.rows[0, 0] for run in await asyncio.gather(*runs)] == [8 * i for i in range(1, 17)]
    encoder.room = 64
    encoder.sizes.clear()
    await batcher.run([tokens(*[1] * 8) for _ in range(32)])
    assert set(encoder.sizes) == {32}, "64 did not fit, and is not tried again"
    assert batcher.dead is None
    await batcher.stop()


async def test_an_input_that_never_fits_fails_alone():
    encoder = SmallMemory(16)
    batcher = await started(encoder)
    encoder.hold.clear()
    runs = [asyncio.create_task(batcher.run([tokens(*[3] * n)])) for n in (16, 17, 16)]
    await asyncio.sleep(0.05)
    encoder.hold.set()
    first, wide, last = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(wide, EngineError)
    assert (first.rows[0, 0], last.rows[0, 0]) == (48, 48)
    assert batcher.dead is None
    await batcher.stop()


async def test_memory_for_full_batches_is_taken_before_the_start_is_over():
    encoder = SmallMemory(40)
    metrics = Metrics("test")
    batcher = Batcher(
        encoder, probe=tokens(1), max_batch_tokens=64, max_queue_tokens=10, metrics=metrics, warm_up_tokens=8
    )
    await batcher.start()
    assert encoder.sizes == [1, 32, 32], "the probe, and a batch of 64 in halves"
    await batcher.stop()
