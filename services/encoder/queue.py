"""Which inputs go into the next forward, when several callers wait.

Each request pays for the tokens it gets in virtual time, and the one that has been given least leads the next
batch (start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM 1996), so that a request of one input waits for a batch
or two beside one of 5,000. The batch is then filled, from any request, with inputs of nearly the leader's length, so
that little of it is padding; or with inputs of any length, where the engine pads none. Used by one thread only.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.engines.encoder.interface import Rows, Tokens

SLACK_SHARE = 0.2
SLACK_TOKENS = 16
"""An input joins a batch when padding adds at most this share of the width, or this many tokens."""


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """rows: (n, width) in the order of the inputs; queue_s: until the first of them ran; inference_s: from then on."""

    rows: Rows
    queue_s: float
    inference_s: float


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request's inputs. `closed`: it was answered, failed, or cancelled by its client."""

    inputs: Sequence[Tokens]
    rows: Rows
    future: asyncio.Future[ForwardResult]
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0
    closed: bool = False
    virtual_start: float = 0.0
    waiting: list[tuple[int, int]] = field(init=False)
    """(length, index) of the inputs not yet in a batch, shortest first."""
    waiting_tokens: int = field(init=False)
    missing: int = field(init=False)
    """Rows that are not computed yet."""

    def __post_init__(self) -> None:
        self.waiting = sorted((len(tokens), index) for index, tokens in enumerate(self.inputs))
        self.waiting_tokens = sum(length for length, _ in self.waiting)
        self.missing = len(self.inputs)

    def take(self, lengths: range, room: int, cost: Callable[[int], int]) -> list[int]:
        """Removes and returns indices of waiting inputs of these lengths, longest first, that cost at most `room`."""
        stop = start = bisect_left(self.waiting, (lengths.stop, 0))
        while start and (length := self.waiting[start - 1][0]) in lengths and cost(length) <= room:
            start -= 1
            room -= cost(length)
        taken = self.waiting[start:stop]
        del self.waiting[start:stop]
        self.waiting_tokens -= sum(length for length, _ in taken)
        return [index for _, index in taken]


Batch = list[tuple[QueuedRequest, int]]


class FairQueue:
    def __init__(self, max_batch_tokens: int, *, padding_free: bool = False) -> None:
        self.max_batch_tokens = max_batch_tokens
        self._padding_free = padding_free
        self._virtual = 0.0
        self._requests: list[QueuedRequest] = []

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def requests(self) -> Sequence[QueuedRequest]:
        return self._requests

    def put(self, request: QueuedRequest) -> None:
        request.virtual_start = self._virtual
        self._requests.append(request)

    def drop_closed(self) -> int:
        """Removes closed requests; returns their tokens that no batch has taken."""
        dropped = sum(request.waiting_tokens for request in self._requests if request.closed)
        self._requests = [request for request in self._requests if not request.closed]
        return dropped

    def next_batch(self) -> Batch:
        """The next batch: at most max_batch_tokens, padding included, or a single longer input."""
        leader = min(self._requests, key=self._turn)
        self._virtual = self._virtual_end(leader)
        widest = leader.waiting[-1][0]
        room = max(self.max_batch_tokens, widest)
        lengths, cost = self._companions(widest)
        others = [request for request in self._requests if request is not leader and room > widest]
        batch: Batch = []
        for request in (leader, *sorted(others, key=self._turn)):
            indices = request.take(lengths, room, cost)
            batch += [(request, index) for index in indices]
            request.virtual_start += sum(len(request.inputs[index]) for index in indices)
            room -= sum(cost(len(request.inputs[index])) for index in indices)
        leader.virtual_start = self._virtual
        self._requests = [request for request in self._requests if request.waiting]
        return batch

    def _companions(self, widest: int) -> tuple[range, Callable[[int], int]]:
        """The lengths that may share a batch with `widest`, and each one's share of the token budget."""
        if self._padding_free:
            return range(max(self.max_batch_tokens, widest) + 1), lambda length: length
        narrowest = min(widest - SLACK_TOKENS, int(widest * (1 - SLACK_SHARE)))
        return range(narrowest, widest + 1), lambda _: widest

    def _turn(self, request: QueuedRequest) -> tuple[float, int]:
        """Sort key: least virtual time first, then fewest waiting tokens."""
        return request.virtual_start, request.waiting_tokens

    def _virtual_end(self, request: QueuedRequest) -> float:
        """The virtual time at which the request's next batch ends."""
        return request.virtual_start + max(request.waiting[-1][0], min(request.waiting_tokens, self.max_batch_tokens))


def queued_request(inputs: Sequence[Tokens], width: int, loop: asyncio.AbstractEventLoop) -> QueuedRequest:
    return QueuedRequest(inputs, np.empty((len(inputs), width), dtype=np.float32), loop.create_future())
