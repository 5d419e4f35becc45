"""Embeds the texts of many documents: full batches, several requests in flight, no text twice."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.client import EmbedClient
from services.errors import DeadlineError, OverloadedError, RaglineError, UnavailableError

Vector = NDArray[np.float32]
_Item = tuple[str, "asyncio.Future[Vector]"]
RETRY_FOR_S = 60.0
"""How long requests are repeated while the service is unavailable: a restart takes less."""
_RETRY_EVERY_S = 1.0


class Embedder:
    """`async with` starts `in_flight` workers; leaving it fails the texts that still wait."""

    def __init__(
        self, client: EmbedClient, *, batch_size: int, in_flight: int, retry_for_s: float = RETRY_FOR_S
    ) -> None:
        self._client = client
        self._batch_size = batch_size
        self._in_flight = in_flight
        self._retry_for_s = retry_for_s
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        self._vectors: dict[str, asyncio.Future[Vector]] = {}
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
        futures = [self._vectors.get(text) or self._enqueue(text) for text in texts]
        if futures:
            await asyncio.wait(futures)
        return [future.result() for future in futures]

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
            await self._embed([(text, future) for text, future in batch if not future.done()])

    async def _embed(self, batch: list[_Item]) -> None:
        """Embed a batch; one that is refused is halved until the refused text is alone."""
        if not batch:
            return
        try:
            vectors = await self._request([text for text, _ in batch])
        except RaglineError as exc:
            if len(batch) == 1 or is_temporary(exc):
                for _, future in batch:
                    future.set_exception(exc) if not future.done() else None
                return
            half = len(batch) // 2
            await self._embed(batch[:half])
            await self._embed(batch[half:])
            return
        self.embedded += len(batch)
        for (_, future), vector in zip(batch, vectors, strict=True):
            if not future.done():
                future.set_result(vector)

    async def _request(self, texts: list[str]) -> Vector:
        """(n, d) of n texts; repeated while the service is unavailable or full."""
        until = time.monotonic() + self._retry_for_s
        while True:
            try:
                return await self._client.embed(texts, input_type="document")
            except (UnavailableError, OverloadedError) as exc:
                if not is_temporary(exc) or time.monotonic() > until:
                    raise
                await asyncio.sleep(exc.retry_after or _RETRY_EVERY_S)


def _closed_error() -> UnavailableError:
    return UnavailableError("the collection was closed before all of its texts were embedded.")


def is_temporary(error: RaglineError) -> bool:
    """Whether the service is down or full: waiting may help, and smaller requests do not."""
    return isinstance(error, UnavailableError | OverloadedError) and not isinstance(error, DeadlineError)
