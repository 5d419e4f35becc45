"""Texts of many documents to vectors: full requests, several in flight, the same text once."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from services.errors import DeadlineError, OverloadedError, RaglineError, UnavailableError

Vector = NDArray[np.float32]
PATIENCE_S = 60.0
"""How long a service may be away, as one is that is started anew."""
_PAUSE_S = 1.0


class Embeds(Protocol):
    async def embed(self, texts: Sequence[str], *, input_type: str, deadline: float | None = None) -> Vector: ...


@dataclass(frozen=True, slots=True)
class _Item:
    text: str
    vector: "asyncio.Future[Vector]"


class Embedding:
    """`async with` starts `in_flight` requests' worth of tasks; leaving it fails what is not done."""

    def __init__(self, client: Embeds, *, batch: int, in_flight: int, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._batch = batch
        self._in_flight = in_flight
        self._patience_s = patience_s
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        self._pending: dict[str, asyncio.Future[Vector]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self.embedded = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._in_flight)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stopped = True
        for future in list(self._pending.values()):
            if not future.done():
                future.set_exception(_ended())

    async def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text. Raises what the service says of a text that it refuses, or that it cannot be reached."""
        if self._stopped:
            raise _ended()
        futures = [self._pending.get(text) or self._asked(text) for text in texts]
        if futures:
            await asyncio.wait(futures)
        return [future.result() for future in futures]

    def forget(self, texts: Sequence[str]) -> None:
        """The store knows these by now."""
        for text in texts:
            self._pending.pop(text, None)

    def _asked(self, text: str) -> "asyncio.Future[Vector]":
        future = self._pending[text] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(self._forget_failed, text))
        self._queue.put_nowait(_Item(text, future))
        return future

    def _forget_failed(self, text: str, future: "asyncio.Future[Vector]") -> None:
        if future.cancelled() or future.exception() is not None:
            self._pending.pop(text, None)

    async def _work(self) -> None:
        while True:
            items = [await self._queue.get()]
            while len(items) < self._batch and not self._queue.empty():
                items.append(self._queue.get_nowait())
            await self._embed([item for item in items if not item.vector.done()])

    async def _embed(self, items: list[_Item]) -> None:
        """A batch that is refused is halved until the text at fault stands alone."""
        if not items:
            return
        try:
            vectors = await self._patiently([item.text for item in items])
        except RaglineError as exc:
            if len(items) == 1 or is_away(exc):
                for item in items:
                    item.vector.set_exception(exc) if not item.vector.done() else None
                return
            half = len(items) // 2
            await self._embed(items[:half])
            await self._embed(items[half:])
            return
        self.embedded += len(items)
        for item, vector in zip(items, vectors, strict=True):
            if not item.vector.done():
                item.vector.set_result(vector)

    async def _patiently(self, texts: list[str]) -> Vector:
        """Again while the service is away or full, for so long as patience lasts."""
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return await self._client.embed(texts, input_type="document")
            except (UnavailableError, OverloadedError) as exc:
                if not is_away(exc) or time.monotonic() > until:
                    raise
                await asyncio.sleep(exc.retry_after or _PAUSE_S)


def _ended() -> UnavailableError:
    return UnavailableError("nothing more is embedded here: the collection was closed.")


def is_away(error: RaglineError) -> bool:
    """Down or full: waiting may help, and smaller requests do not."""
    return isinstance(error, UnavailableError | OverloadedError) and not isinstance(error, DeadlineError)
