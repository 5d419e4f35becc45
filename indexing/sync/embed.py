"""Embeds the texts of many documents: full batches, several requests in flight, no text twice.

A request that fails shows whose fault it is. Where one word is refused as well, or not answered in time, it is the
service's, and all of the batch fail with UnavailableError; else the batch is halved until the refused text is alone.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.client import EmbedClient
from services.errors import DeadlineError, EngineError, OverloadedError, RaglineError, UnavailableError

log = logging.getLogger(__name__)

Vector = NDArray[np.float32]
_Item = tuple[str, "asyncio.Future[Vector]"]
RETRY_FOR_S = 60.0
"""How long requests are repeated while the service is unavailable: a restart takes less."""
_RETRY_EVERY_S = 1.0


class Embedder:
    """`async with` starts `in_flight` workers; leaving it fails the texts that still wait."""

    def __init__(
        self,
        client: EmbedClient,
        *,
        batch_size: int,
        in_flight: int,
        dimension: int | None = None,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        """Vectors of another `dimension` are an error of the service; None: any."""
        self._client = client
        self._dimension = dimension
        self._batch_size = batch_size
        self._in_flight = in_flight
        self._retry_for_s = retry_for_s
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        self._vectors: dict[str, asyncio.Future[Vector]] = {}
        self._waiters = Counter[str]()
        self._workers: list[asyncio.Task[None]] = []
        self._closed = False
        self.embedded = 0
        """Texts so far."""

    async def __aenter__(self) -> Self:
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._in_flight)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._closed = True
        for future in list(self._vectors.values()):
            if not future.done():
                future.set_exception(_closed_error())

    async def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """One vector (d,) a text. Raises the service's error for a refused text, UnavailableError without a service."""
        if self._closed:
            raise _closed_error()
        futures = {text: self._vectors.get(text) or self._enqueue(text) for text in texts}
        self._waiters.update(futures.keys())
        try:
            if futures:
                await asyncio.wait(futures.values())
        finally:
            for text, future in futures.items():
                self._waiters[text] -= 1
                if not self._waiters[text]:
                    del self._waiters[text]
                    future.cancel()  # nobody waits for it any more; without effect where it is done
        return [futures[text].result() for text in texts]

    def forget(self, texts: Sequence[str]) -> None:
        """Free the vectors of texts that are in the store."""
        for text in texts:
            self._vectors.pop(text, None)

    def _enqueue(self, text: str) -> "asyncio.Future[Vector]":
        future = self._vectors[text] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(self._forget_failed, text))
        self._queue.put_nowait((text, future))
        return future

    def _forget_failed(self, text: str, future: "asyncio.Future[Vector]") -> None:
        if future.cancelled() or future.exception() is not None:
            self._vectors.pop(text, None)

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._batch_size and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [(text, future) for text, future in batch if not future.done()]
            error = await self._embed(batch) if batch else None
            if error is not None and not is_temporary(error):
                error = await self._away() or error
            if error is not None:
                await self._halve(batch, error)

    async def _embed(self, batch: list[_Item]) -> RaglineError | None:
        """Embed a batch; returns the error, whatever it is: none may end the worker, or leave a future waiting."""
        try:
            vectors = await self._request([text for text, _ in batch])
        except RaglineError as exc:
            return exc
        except Exception as exc:
            log.exception("a batch of %d texts could not be embedded", len(batch))
            return EngineError(f"the embed service gives an answer that cannot be read ({type(exc).__name__})")
        self.embedded += len(batch)
        for (_, future), vector in zip(batch, vectors, strict=True):
            if not future.done():
                future.set_result(vector)
        return None

    async def _away(self) -> RaglineError | None:
        """The error of a service that does not embed one word either; None where it does."""
        word: _Item = ("probe", asyncio.get_running_loop().create_future())
        error = await self._embed([word])
        if error is None or is_temporary(error):
            return error
        return UnavailableError(f"the embed service does not work: {error}")

    async def _halve(self, batch: list[_Item], error: RaglineError) -> None:
        """Embed a failed batch in halves, until each text has its vector or its error.

        Where both halves take too long they are not halved again: at 60 s a time, 64 texts would take 2 hours.
        """
        if len(batch) == 1 or is_temporary(error):
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        half = len(batch) // 2
        halves = batch[:half], batch[half:]
        errors = [await self._embed(each) for each in halves]
        if all(isinstance(each, DeadlineError) for each in errors):
            errors = [UnavailableError(f"{error}; half of the texts took too long as well")] * 2
        for each, failure in zip(halves, errors, strict=True):
            if failure is not None:
                await self._halve(each, failure)

    async def _request(self, texts: list[str]) -> Vector:
        """(n, d) of n texts; repeated while the service is unavailable or full. Raises EngineError for other shapes."""
        until = time.monotonic() + self._retry_for_s
        while True:
            try:
                vectors = await self._client.embed(texts, input_type="document")
                break
            except (UnavailableError, OverloadedError) as exc:
                left = until - time.monotonic()
                if not is_temporary(exc) or left <= 0:
                    raise
                await asyncio.sleep(min(exc.retry_after or _RETRY_EVERY_S, left))
        expected = (len(texts), self._dimension or vectors.shape[-1])
        if vectors.shape != expected:
            raise EngineError(f"the embed service answers with vectors of the shape {vectors.shape}, not {expected}")
        return vectors


def _closed_error() -> UnavailableError:
    return UnavailableError("the collection was closed before all of its texts were embedded.")


def is_temporary(error: RaglineError) -> bool:
    """Whether the service is down or full: waiting may help, and smaller requests do not."""
    return isinstance(error, UnavailableError | OverloadedError) and not isinstance(error, DeadlineError)
