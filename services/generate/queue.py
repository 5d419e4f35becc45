"""The queue in front of a generator. A `services.http.server.Backend`.

submit -> waiting, bounded in tokens -> admitted while its tokens have room in the cache -> pieces -> ended
"""

import math
import time
from collections.abc import Mapping, Sequence

from services.engines.generator.interface import Generation, Generator, Piece, Sampling
from services.errors import MAX_RETRY_AFTER_S, OverloadedError, RaglineError, TooLargeError, UnavailableError
from services.generate.generation_metrics import GenerationMetrics, Progress

EXPECTED_TOKENS = 256
"""Tokens of an answer, as admission assumes; the engine preempts where that was too few."""


class GenerationQueue:
    """Used on the event loop only."""

    def __init__(self, engine: Generator, *, max_queue_tokens: int, metrics: GenerationMetrics) -> None:
        self._engine = engine
        self._max_queue_tokens = max_queue_tokens
        self._metrics = metrics
        self._waiting: dict[Generation, None] = {}
        self._waiting_tokens = 0
        self._running: dict[Generation, Progress] = {}
        self._tokens_per_s = 1000.0
        self._kv_cache_usage = 0.0
        self._stopped = False
        self.last_forward = -math.inf

    @property
    def dead(self) -> str | None:
        return self._engine.dead

    async def start(self) -> None:
        await self._engine.start(self)
        self.last_forward = time.monotonic()

    async def check(self) -> None:
        """Generates one token, even when the queue is full."""
        generation = self._enter([0], Sampling(max_tokens=1, temperature=0.0))
        try:
            async for _ in generation:
                pass
        finally:
            self.release(generation)

    async def stop(self) -> None:
        self._stopped = True
        for generation in [*self._waiting, *self._running]:
            generation.fail(UnavailableError("the service is stopping.", retry_after=5))
        self._waiting.clear()
        self._waiting_tokens = 0
        await self._engine.stop()

    def submit(self, prompt: Sequence[int], sampling: Sampling) -> Generation:
        """The caller must `release` the result. Raises OverloadedError, TooLargeError, UnavailableError."""
        if self.dead is not None or self._stopped:
            raise UnavailableError(f"the engine is dead: {self.dead or 'it was stopped'}")
        self._check_room(len(prompt))
        return self._enter(prompt, sampling)

    def release(self, generation: Generation) -> None:
        """Cancels what is left of its work."""
        if generation in self._running:
            del self._running[generation]
            self._engine.cancel(generation)
        elif generation in self._waiting:
            self._take(generation)
        generation.ended = True
        self._admit()

    def on_piece(self, generation: Generation, piece: Piece) -> None:
        now = self.last_forward = time.monotonic()
        progress = self._running[generation]
        self._metrics.piece(generation, len(piece.token_ids), progress.last, now)
        progress.tokens += len(piece.token_ids)
        if progress.last is None:
            progress.first = now
            rate = len(generation.prompt) / max(now - progress.admitted, 1e-6)
            self._tokens_per_s += 0.1 * (rate - self._tokens_per_s)
        progress.last = now
        if piece.finish is not None:
            self._metrics.finished(generation, progress, now, piece.finish)
            self._leave(generation)
        generation.give(piece)

    def on_failure(self, generation: Generation, error: RaglineError) -> None:
        self._leave(generation)
        generation.fail(error)

    def on_step(self, gauges: Mapping[str, float]) -> None:
        before, self._kv_cache_usage = self._kv_cache_usage, gauges["kv_cache_usage"] if self._running else 0.0
        if self._kv_cache_usage > before:  # a prompt is being read, long before its first piece
            self.last_forward = time.monotonic()
        self._metrics.kv_cache_usage.set(self._kv_cache_usage)

    def _enter(self, prompt: Sequence[int], sampling: Sampling) -> Generation:
        generation = Generation(prompt, sampling)
        self._waiting[generation] = None
        self._waiting_tokens += len(prompt)
        self._admit()
        return generation

    def _take(self, generation: Generation) -> None:
        """Removes it from the waiting ones."""
        del self._waiting[generation]
        self._waiting_tokens -= len(generation.prompt)

    def _leave(self, generation: Generation) -> None:
        self._running.pop(generation, None)
        self._admit()

    def _admit(self) -> None:
        """Starts waiting generations, oldest first, while the cache has room; a single one always fits."""
        capacity = self._engine.capacity
        room = capacity.tokens - sum(map(_expected, self._running))
        while self._waiting and len(self._running) < capacity.sequences:
            generation = next(iter(self._waiting))
            room -= _expected(generation)
            if room < 0 and self._running:
                break
            self._take(generation)
            self._running[generation] = Progress(time.monotonic())
            self._engine.add(generation)
        if not self._running:  # no step will tell
            self.on_step({"kv_cache_usage": 0.0})
        self._metrics.queue(len(self._running), len(self._waiting), self._waiting_tokens)

    def _check_room(self, tokens: int) -> None:
        if tokens > self._max_queue_tokens:
            self._metrics.rejected("max_queue_tokens")
            raise TooLargeError(f"the prompt's {tokens} tokens are over max_queue_tokens = {self._max_queue_tokens}.")
        waiting = self._waiting_tokens
        if waiting + tokens > self._max_queue_tokens:
            self._metrics.rejected("queue_full")
            wait = math.ceil(waiting / self._tokens_per_s)
            raise OverloadedError(
                f"{waiting} prompt tokens are waiting and max_queue_tokens is {self._max_queue_tokens}; try again.",
                retry_after=min(max(wait, 1), MAX_RETRY_AFTER_S),
            )


def _expected(generation: Generation) -> int:
    """Tokens that it will take in the key-value cache."""
    return len(generation.prompt) + min(generation.sampling.max_tokens, EXPECTED_TOKENS)
