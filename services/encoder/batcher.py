"""The queue in front of an encoder: callers await their rows, one thread feeds the engine.

    run(inputs) -> inbox -> [engine thread: fair queue -> batch -> forward] -> rows, as each request is complete

A forward that lacks memory is run again in halves, and later batches are no larger than a half. One that fails
otherwise fails the requests that were in it and no others; then a probe tells whether the engine still works. When it
does not, or when the thread ends, everything that waits fails and `dead` says why.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import numpy as np

from services.encoder.queue import Batch, FairQueue, ForwardResult, QueuedRequest, queued_request
from services.engines.encoder.interface import Encoder, Rows, Tokens
from services.errors import (
    MAX_RETRY_AFTER_S,
    EngineError,
    OverloadedError,
    RaglineError,
    TooLargeError,
    UnavailableError,
)
from services.http.metrics import Metrics

log = logging.getLogger(__name__)


class Batcher:
    """A `services.http.server.Backend`. probe: a short input; an engine that fails on it is dead.

    warm_up_tokens: the length of inputs of which each lane is given a full batch at the start; 0: none.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        probe: Tokens,
        max_batch_tokens: int,
        max_queue_tokens: int,
        metrics: Metrics,
        warm_up_tokens: int = 0,
    ) -> None:
        self._encoder = encoder
        self._probe = probe
        self._warm_up_tokens = warm_up_tokens
        self._queue = FairQueue(min(max_batch_tokens, encoder.best_batch_tokens), padding_free=encoder.padding_free)
        self._max_queue_tokens = max_queue_tokens
        self._metrics = metrics
        self._inbox: SimpleQueue[QueuedRequest | None] = SimpleQueue()
        """None wakes an idle lane."""
        self._submitted_tokens = 0  # tokens submitted, counted by the event loop
        self._taken_tokens = 0  # tokens taken from the queue, counted by the lanes
        self._tokens_per_s = 1000.0
        self._lock = threading.Lock()
        self._idle = 0
        self._stopping = False
        self._lanes = [
            threading.Thread(target=self._work, name=f"engine-{lane}", daemon=True) for lane in range(encoder.lanes)
        ]
        self.dead: str | None = None
        self.last_forward = -math.inf

    @property
    def width(self) -> int:
        return self._encoder.width

    @property
    def queue_tokens(self) -> int:
        return self._submitted_tokens - self._taken_tokens

    async def start(self) -> None:
        for lane in self._lanes:
            lane.start()
        await self.check()
        await self._run(self._full_batches())

    def _full_batches(self) -> list[Tokens]:
        """What takes as much memory as any later batches, so that a generator gets only what is left."""
        most = self._queue.max_batch_tokens
        if (length := min(self._warm_up_tokens, most)) == 0:
            return []
        ids = np.resize(self._probe.ids, length)
        return [Tokens(ids, np.zeros_like(ids))] * (most // length * len(self._lanes))

    async def check(self) -> None:
        """Runs the probe, even when the queue is full."""
        await self._run([self._probe])

    async def stop(self) -> None:
        self._stopping = True
        for _ in self._lanes:
            self._inbox.put(None)
        for lane in self._lanes:
            if lane.is_alive():
                await asyncio.to_thread(lane.join, 10.0)
        self._encoder.close()

    async def run(self, inputs: Sequence[Tokens]) -> ForwardResult:
        """Raises OverloadedError, TooLargeError, EngineError, UnavailableError. Cancelling it drops its inputs."""
        self._check_room(sum(map(len, inputs)))
        with self._metrics.running.track_inprogress():
            return await self._run(inputs)

    async def _run(self, inputs: Sequence[Tokens]) -> ForwardResult:
        request = queued_request(inputs, self._encoder.width, asyncio.get_running_loop())
        if not inputs:
            return ForwardResult(request.rows, 0.0, 0.0)
        self._submitted_tokens += request.waiting_tokens
        self._inbox.put(request)
        try:
            if self.dead is not None:
                raise UnavailableError(f"the engine is dead: {self.dead}")
            return await request.future
        finally:
            request.closed = True

    def check_size(self, tokens: int) -> None:
        """Raises TooLargeError for more tokens than the queue ever takes."""
        if tokens > self._max_queue_tokens:
            self._reject("max_queue_tokens")
            raise TooLargeError(
                f"the request's {tokens} tokens are over max_queue_tokens = {self._max_queue_tokens}; send less."
            )

    def _check_room(self, tokens: int) -> None:
        self.check_size(tokens)
        if self.queue_tokens + tokens > self._max_queue_tokens:
            self._reject("queue_full")
            wait = math.ceil(self.queue_tokens / self._tokens_per_s)
            raise OverloadedError(
                f"{self.queue_tokens} tokens are waiting and max_queue_tokens is {self._max_queue_tokens}; try again.",
                retry_after=min(max(wait, 1), MAX_RETRY_AFTER_S),
            )

    def _reject(self, reason: str) -> None:
        self._metrics.rejections.labels(self._metrics.model_name, reason).inc()

    # On the lanes from here on.

    def _work(self) -> None:
        reason = "its thread ended"
        try:
            while self.dead is None and self._step():
                pass
            reason = self.dead or "it was stopped"
        except _EngineDeadError as exc:
            reason = str(exc)
        except BaseException as exc:
            log.exception("a lane of the engine failed")
            reason = repr(exc)
        finally:
            self._end(reason)

    def _end(self, reason: str) -> None:
        self.dead = self.dead or reason
        with self._lock:
            self._arrive()
            for request in self._queue.requests:
                self._fail(request, UnavailableError(f"the engine is dead: {self.dead}"))
            self._queue.drop_closed()
        for _ in self._lanes:
            self._inbox.put(None)

    def _step(self) -> bool:
        """Runs a batch, or waits for a request; False once the queue is empty and stopping."""
        with self._lock:
            self._arrive()
            self._taken_tokens += self._queue.drop_closed()
            batch = self._queue.next_batch() if len(self._queue) else []
            self._begin(batch)
            if len(self._queue) and self._idle:
                self._inbox.put(None)
            if not batch:
                if self._stopping:
                    return False
                self._idle += 1
        if batch:
            self._forward(batch)
            return True
        request = self._inbox.get()
        with self._lock:
            self._idle -= 1
            if request is not None:
                self._queue.put(request)
        return True

    def _arrive(self) -> None:
        while True:
            try:
                request = self._inbox.get_nowait()
            except Empty:
                return
            if request is not None:
                self._queue.put(request)

    def _begin(self, batch: Batch) -> None:
        now = time.monotonic()
        for request, index in batch:
            request.started = request.started or now
            self._taken_tokens += len(request.inputs[index])
        self._metrics.waiting.set(len(self._queue))
        self._metrics.queue_tokens.set(self.queue_tokens)

    def _forward(self, batch: Batch) -> None:
        inputs = [request.inputs[index] for request, index in batch]
        began = time.monotonic()
        rows = None
        try:
            rows = self._encoder.forward(inputs)
        except Exception as exc:
            if not isinstance(exc, MemoryError) or len(batch) == 1:
                log.exception("a forward of %d inputs failed", len(batch))
                self._fail_batch(batch, exc)
                return
        if rows is None:  # after the handler, because an error's traceback keeps the tensors of its forward
            self._forward_in_halves(batch)
            return
        self.last_forward = time.monotonic()
        self._record([len(tokens) for tokens in inputs], self.last_forward - began)
        with self._lock:
            self._deliver(batch, rows)

    def _forward_in_halves(self, batch: Batch) -> None:
        tokens = self._batch_tokens([len(request.inputs[index]) for request, index in batch])
        with self._lock:
            self._queue.max_batch_tokens = min(self._queue.max_batch_tokens, tokens // 2)
        log.warning("no memory for a batch of %d tokens; from now on %d", tokens, self._queue.max_batch_tokens)
        half = len(batch) // 2
        self._forward(batch[:half])
        self._forward(batch[half:])

    def _deliver(self, batch: Batch, rows: Rows) -> None:
        sound = np.isfinite(rows.sum(axis=1, dtype=np.float64))
        for (request, index), row, is_sound in zip(batch, rows, sound, strict=True):
            if request.closed:
                continue
            if not is_sound:
                self._fail(request, EngineError(f"the model gave NaN or infinity for input {index}."))
                continue
            request.rows[index] = row
            request.missing -= 1
            if request.missing == 0:
                self._answer(request)

    def _answer(self, request: QueuedRequest) -> None:
        request.closed = True
        ran = ForwardResult(request.rows, request.started - request.submitted, time.monotonic() - request.started)
        self._metrics.queue_time.observe(ran.queue_s)
        self._metrics.inference_time.observe(ran.inference_s)
        self._tell(request, lambda: request.future.set_result(ran))

    def _fail_batch(self, batch: Batch, exc: Exception) -> None:
        """Raises _EngineDeadError where the engine fails on the probe too."""
        with self._lock:
            for request in {request for request, _ in batch}:
                self._fail(request, EngineError(f"the engine failed on this batch: {type(exc).__name__}"))
        try:
            self._encoder.forward([self._probe])
        except Exception as probe_exc:
            raise _EngineDeadError(f"{type(exc).__name__}: {exc}") from probe_exc

    def _fail(self, request: QueuedRequest, error: RaglineError) -> None:
        if not request.closed:
            request.closed = True
            self._tell(request, lambda: request.future.set_exception(error))

    def _tell(self, request: QueuedRequest, end: Callable[[], None]) -> None:
        def on_loop() -> None:
            if not request.future.done():
                end()

        loop = request.future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(on_loop)

    def _batch_tokens(self, lengths: Sequence[int]) -> int:
        """Padding counted."""
        return sum(lengths) if self._encoder.padding_free else max(lengths) * len(lengths)

    def _record(self, lengths: Sequence[int], seconds: float) -> None:
        tokens = sum(lengths)
        padded = self._batch_tokens(lengths)
        self._metrics.batch_tokens.observe(padded)
        self._metrics.batch_size.observe(len(lengths))
        self._metrics.batch_fill.observe(tokens / padded)
        self._metrics.prompt_tokens.inc(tokens)
        rate = len(self._lanes) * tokens / max(seconds, 1e-6)
        self._tokens_per_s += 0.1 * (rate - self._tokens_per_s)


class _EngineDeadError(Exception):
    """Ends the lanes."""
