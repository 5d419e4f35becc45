"""Which inputs go into the next forward."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.encoder.queue import SLACK_SHARE, SLACK_TOKENS, FairQueue, QueuedRequest
from services.engines.encoder.interface import Tokens

LOOP = asyncio.new_event_loop()
LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=40)


def job(*lengths: int) -> QueuedRequest:
    inputs = [Tokens(np.ones(n, dtype=np.int64), np.zeros(n, dtype=np.int64)) for n in lengths]
    return QueuedRequest(inputs, np.empty((len(lengths), 1), dtype=np.float32), LOOP.create_future())


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    LOOP.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(LENGTHS, min_size=1, max_size=6), st.integers(64, 4096))
def test_every_input_is_read_once_within_the_budget_and_with_little_padding(requests, budget):
    queue = FairQueue(budget)
    jobs = [job(*lengths) for lengths in requests]
    for each in jobs:
        queue.put(each)
    seen = []
    while len(queue):
        batch = queue.next_batch()
        lengths = [len(owner.inputs[index]) for owner, index in batch]
        assert len(batch) == 1 or len(batch) * max(lengths) <= budget
        assert min(lengths) >= min(max(lengths) - SLACK_TOKENS, int(max(lengths) * (1 - SLACK_SHARE)))
        seen += [(id(owner), index) for owner, index in batch]
    assert sorted(seen) == sorted((id(each), i) for each in jobs for i in range(len(each.inputs)))


@settings(max_examples=60, deadline=None)
@given(st.lists(LENGTHS, min_size=1, max_size=6), st.integers(64, 4096))
def test_where_nothing_is_padded_lengths_mix_and_batches_are_full(requests, budget):
    queue = FairQueue(budget, padding_free=True)
    jobs = [job(*lengths) for lengths in requests]
    for each in jobs:
        queue.put(each)
    seen = []
    while len(queue):
        batch = queue.next_batch()
        tokens = sum(len(owner.inputs[index]) for owner, index in batch)
        assert len(batch) == 1 or tokens <= budget
        assert all(tokens + each.waiting[-1][0] > budget for each in queue.requests), "the next of a request had room"
        seen += [(id(owner), index) for owner, index in batch]
    assert sorted(seen) == sorted((id(each), i) for each in jobs for i in range(len(each.inputs)))


def test_a_small_request_goes_next_beside_a_large_one():
    queue = FairQueue(2048)
    large, small = job(*[200] * 5000), job(200)
    queue.put(large)
    for _ in range(3):
        queue.next_batch()
    queue.put(small)
    batch = queue.next_batch()
    assert (small, 0) in batch
    assert len(batch) == 10, "the large request fills the rest of the batch"


def test_a_large_request_is_not_starved_by_small_ones_of_another_length():
    queue = FairQueue(1000)
    large = job(*[100] * 1000)
    queue.put(large)
    led = 0
    for _ in range(200):
        queue.put(job(500))
        led += any(owner is large for owner, _ in queue.next_batch())
    assert 50 <= led <= 150, "tokens are shared evenly: 1000 of the large one for 2 small ones of 500"


def test_requests_of_equal_size_take_turns():
    queue = FairQueue(400)
    first, second = job(*[200] * 20), job(*[100] * 40)
    queue.put(first)
    queue.put(second)
    leaders = [queue.next_batch()[0][0] is first for _ in range(10)]
    assert 4 <= sum(leaders) <= 6


@pytest.mark.parametrize("budget", [1, 400, 2000])
def test_tokens_are_shared_evenly_between_long_and_short_inputs(budget):
    """Where a batch is one input, too: a budget of 1, which is the fastest for int8 weights on a CPU."""
    queue = FairQueue(budget)
    long, short = job(*[500] * 300), job(*[10] * 300)
    queue.put(long)
    queue.put(short)
    given = {long: 0, short: 0}
    while short.waiting:
        for owner, index in queue.next_batch():
            given[owner] += len(owner.inputs[index])
    assert abs(given[long] - given[short]) <= max(budget, 500)


def test_an_abandoned_request_is_forgotten():
    queue = FairQueue(1000)
    gone, here = job(*[100] * 50), job(100)
    queue.put(gone)
    queue.put(here)
    gone.closed = True
    assert queue.drop_closed() == 5000
    assert queue.next_batch() == [(here, 0)]
    assert len(queue) == 0
