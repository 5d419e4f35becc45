"""Parsed documents into the store: embed -> write, overlapped; each stage waits for the next where that one is full."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from indexing.document import passage
from indexing.errors import InvalidDocumentError
from indexing.read.pool import Parsed, Parsers
from indexing.read.web import Fetcher
from indexing.store.interface import DocumentStore, text_hash
from indexing.sync.changes import Plan
from indexing.sync.embed import Embedding, Vector, is_away
from indexing.sync.progress import Tally
from services.errors import RaglineError

P = ParamSpec("P")
T = TypeVar("T")
_WRITE_CHUNKS = 512
"""Of one transaction at most, unless one document has more."""
_TOLD_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Stages:
    """What a build works with."""

    store: DocumentStore
    parsers: Parsers
    embedding: Embedding
    fetcher: Fetcher
    threads: Executor
    writing: asyncio.Lock
    waiting_chunks: int
    """Chunks between parser and disk at most."""

    async def blocking(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On a thread. A call that has begun is waited for, even where we are cancelled."""
        future = asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for calls that write: one after the other."""
        async with self.writing:
            return await self.blocking(call, *args, **kwargs)

    async def vectors(self, parsed: Parsed) -> Vector:
        """(n, d) of a document's n chunks: those of texts that the store knows from there, the others embedded."""
        texts = passages(parsed)
        hashes = [text_hash(text) for text in texts]
        known = await self.blocking(self.store.vectors_for, hashes)
        new = [text for text, key in zip(texts, hashes, strict=True) if key not in known]
        made = dict(zip(new, await self.embedding.vectors(new), strict=True))
        rows = [known[key] if key in known else made[text] for text, key in zip(texts, hashes, strict=True)]
        return np.stack(rows) if rows else np.empty((0, self.store.manifest.dimension), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Build:
    """One build: with what, over what is there already, and how far it is."""

    stages: Stages
    plan: Plan
    tally: Tally
    tell: Callable[[], Awaitable[None]]
    """Whom it concerns, how far it is; called every _TOLD_EVERY_S."""


class Pipeline:
    """What readers submit is embedded and committed. A document that fails is counted; a service or disk ends all."""

    def __init__(self, build: Build) -> None:
        self._stages = build.stages
        self._plan = build.plan
        self._tally = build.tally
        self._tell = build.tell
        self._room = _Room(build.stages.waiting_chunks)
        self._writes: asyncio.Queue[tuple[Parsed, Vector] | None] = asyncio.Queue()
        self._documents: asyncio.TaskGroup | None = None

    async def run(self, readers: Iterable[Coroutine[None, None, None]]) -> None:
        """Until all readers have ended and all they submitted is committed. Raises the first error, bare."""
        try:
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(self._keep_telling())
                writing = group.create_task(self._write())
                async with asyncio.TaskGroup() as self._documents:
                    for reader in readers:
                        self._documents.create_task(reader)
                self._writes.put_nowait(None)
                await writing
                telling.cancel()
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors

    async def submit(self, parsed: Parsed) -> None:
        """Waits where too much is on its way."""
        if self._documents is None:
            raise RuntimeError("submit() is for readers of run()")
        await self._room.take(len(parsed.chunks))
        self._tally.waiting_chunks += len(parsed.chunks)
        self._tally.waiting_tokens += sum(parsed.tokens)
        work = self._embed(parsed)
        try:
            self._documents.create_task(work)
        except RuntimeError as exc:  # the group is shutting down, and this reader with it
            work.close()
            raise asyncio.CancelledError from exc

    async def _embed(self, parsed: Parsed) -> None:
        try:
            vectors = await self._stages.vectors(parsed)
        except (RaglineError, UnicodeError) as exc:  # a lone surrogate cannot be hashed, nor sent
            if isinstance(exc, RaglineError) and is_away(exc):
                raise
            self._fail(parsed, exc)
        else:
            self._writes.put_nowait((parsed, vectors))

    def _fail(self, parsed: Parsed, error: Exception) -> None:
        self._tally.fail(parsed.document.source, str(error))
        self._free(parsed)

    def _free(self, parsed: Parsed) -> None:
        self._room.free(len(parsed.chunks))
        self._tally.waiting_chunks -= len(parsed.chunks)
        self._tally.waiting_tokens -= sum(parsed.tokens)

    async def _write(self) -> None:
        """All that is ready, one transaction after the other."""
        while (first := await self._writes.get()) is not None:
            ready = [first]
            while not self._writes.empty() and sum(len(parsed.chunks) for parsed, _ in ready) < _WRITE_CHUNKS:
                if (item := self._writes.get_nowait()) is None:
                    self._writes.put_nowait(None)
                    break
                ready.append(item)
            await self._commit(ready)

    async def _commit(self, ready: list[tuple[Parsed, Vector]]) -> None:
        """All of them; where the store refuses one, each in a transaction of its own."""
        items = [(self._plan.identified(parsed.document), parsed.chunks, vectors) for parsed, vectors in ready]
        try:
            await self._stages.write(self._stages.store.put, items)
        except InvalidDocumentError as exc:
            if len(ready) > 1:
                for each in ready:
                    await self._commit([each])
                return
            self._fail(ready[0][0], exc)
            return
        for parsed, _ in ready:
            self._stages.embedding.forget(passages(parsed))
            self._free(parsed)
            self._tally.documents += 1
            self._tally.chunks += len(parsed.chunks)
            self._tally.tokens += sum(parsed.tokens)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_TOLD_EVERY_S)
            await self._tell()


def passages(parsed: Parsed) -> list[str]:
    """What is embedded of it."""
    return [passage(chunk.heading, chunk.text) for chunk in parsed.chunks]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class _Room:
    """So many chunks may be on their way; a document that has more goes when it is alone."""

    def __init__(self, chunks: int) -> None:
        self._size = chunks
        self._taken = 0
        self._freed = asyncio.Event()

    async def take(self, chunks: int) -> None:
        while self._taken and self._taken + chunks > self._size:
            self._freed.clear()
            await self._freed.wait()
        self._taken += chunks

    def free(self, chunks: int) -> None:
        self._taken -= chunks
        self._freed.set()
