"""Parsed documents into the store: embed, then write, at the same time; a full stage makes the one before it wait."""

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
from indexing.store.manifest import Manifest
from indexing.sync.embed import Embedder, Vector, is_temporary
from indexing.sync.progress import Tally
from services.errors import EngineError, RaglineError, UnavailableError

P = ParamSpec("P")
T = TypeVar("T")
_COMMIT_CHUNKS = 512
"""Of one transaction at most, unless one document has more."""
_REPORT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Stages:
    """What all runs of an indexer share."""

    store: DocumentStore
    manifest: Manifest
    """Which chunks and vectors are made for."""
    parsers: Parsers
    embedder: Embedder
    fetcher: Fetcher
    threads: Executor
    write_lock: asyncio.Lock
    max_pending_chunks: int
    """Chunks that are parsed and not yet committed."""

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call on a thread. Cancelled, it still waits for a call that has begun."""
        future = asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call on a thread, one call at a time."""
        async with self.write_lock:
            return await self.in_thread(call, *args, **kwargs)

    async def vectors(self, parsed: Parsed) -> Vector:
        """(n, d) of a document's n chunks; only texts that the store does not know are embedded."""
        texts = passages(parsed)
        hashes = [text_hash(text) for text in texts]
        known = await self.in_thread(self.store.vectors_for, hashes)
        new = [text for text, key in zip(texts, hashes, strict=True) if key not in known]
        embedded = dict(zip(new, await self.embedder.vectors(new), strict=True))
        rows = [known[key] if key in known else embedded[text] for text, key in zip(texts, hashes, strict=True)]
        return np.stack(rows) if rows else np.empty((0, self.store.manifest.dimension), dtype=np.float32)


class Pipeline:
    """Embeds and commits what readers submit. Counts a failed document; a failed service or disk ends the run."""

    def __init__(self, stages: Stages, tally: Tally, report: Callable[[], Awaitable[None]]) -> None:
        """`report` publishes the tally; called every _REPORT_EVERY_S."""
        self._stages = stages
        self._tally = tally
        self._report = report
        self._budget = _ChunkBudget(stages.max_pending_chunks)
        self._pending: dict[int, Parsed] = {}
        self._writes: asyncio.Queue[tuple[Parsed, Vector] | None] = asyncio.Queue()
        self._documents: asyncio.TaskGroup | None = None

    async def run(self, readers: Iterable[Coroutine[None, None, None]]) -> None:
        """Run the readers until all they submit is committed. Raises the first error, not an exception group."""
        try:
            async with asyncio.TaskGroup() as group:
                reporting = group.create_task(self._keep_reporting())
                writing = group.create_task(self._write())
                async with asyncio.TaskGroup() as self._documents:
                    for reader in readers:
                        self._documents.create_task(reader)
                self._writes.put_nowait(None)
                await writing
                reporting.cancel()
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        finally:  # what an error, or a cancellation, left
            for parsed in list(self._pending.values()):
                self._release(parsed)

    async def submit(self, parsed: Parsed) -> None:
        """Start embedding a document; waits while too many chunks are pending."""
        if self._documents is None:
            raise RuntimeError("submit() is for readers of run()")
        await self._budget.acquire(len(parsed.chunks))
        self._tally.omit(parsed.document.source, parsed.document.omitted)
        self._pending[id(parsed)] = parsed
        self._tally.pending_chunks += len(parsed.chunks)
        self._tally.pending_tokens += sum(parsed.tokens)
        work = self._embed(parsed)
        try:
            self._documents.create_task(work)
        except RuntimeError as exc:  # the group is shutting down, and this reader with it
            work.close()
            raise asyncio.CancelledError from exc

    async def _embed(self, parsed: Parsed) -> None:
        try:
            vectors = await self._stages.vectors(parsed)
        except (RaglineError, UnicodeError) as exc:  # a lone surrogate can neither be hashed nor sent
            if isinstance(exc, RaglineError) and is_temporary(exc):
                raise
            self._fail(parsed, exc)
        else:
            self._writes.put_nowait((parsed, vectors))

    def _fail(self, parsed: Parsed, error: Exception) -> None:
        service = isinstance(error, EngineError | UnavailableError)
        self._tally.fail(parsed.document.source, str(error), by_service=service)
        self._release(parsed)

    def _release(self, parsed: Parsed) -> None:
        """Free the vectors of a document that is in the store, or will not be."""
        del self._pending[id(parsed)]
        self._stages.embedder.forget(passages(parsed))
        self._budget.release(len(parsed.chunks))
        self._tally.pending_chunks -= len(parsed.chunks)
        self._tally.pending_tokens -= sum(parsed.tokens)

    async def _write(self) -> None:
        """Commit what is embedded, up to _COMMIT_CHUNKS a transaction."""
        while (first := await self._writes.get()) is not None:
            ready = [first]
            while not self._writes.empty() and sum(len(parsed.chunks) for parsed, _ in ready) < _COMMIT_CHUNKS:
                if (item := self._writes.get_nowait()) is None:
                    self._writes.put_nowait(None)
                    break
                ready.append(item)
            await self._commit(ready)

    async def _commit(self, ready: list[tuple[Parsed, Vector]]) -> None:
        """One transaction for all, or one for each where the store refuses a document."""
        items = [(parsed.document, parsed.chunks, vectors) for parsed, vectors in ready]
        try:
            await self._stages.write(self._stages.store.put, items, self._stages.manifest)
        except InvalidDocumentError as exc:
            if len(ready) > 1:
                for each in ready:
                    await self._commit([each])
                return
            self._fail(ready[0][0], exc)
            return
        for parsed, _ in ready:
            self._release(parsed)
            self._tally.documents += 1
            self._tally.chunks += len(parsed.chunks)
            self._tally.tokens += sum(parsed.tokens)

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            await self._report()


def passages(parsed: Parsed) -> list[str]:
    """The texts that are embedded, one a chunk."""
    return [passage(chunk.heading, chunk.text) for chunk in parsed.chunks]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class _ChunkBudget:
    """Bounds the pending chunks; a document with more than all of them waits until it is alone."""

    def __init__(self, chunks: int) -> None:
        self._size = chunks
        self._used = 0
        self._released = asyncio.Event()

    async def acquire(self, chunks: int) -> None:
        while self._used and self._used + chunks > self._size:
            self._released.clear()
            await self._released.wait()
        self._used += chunks

    def release(self, chunks: int) -> None:
        self._used -= chunks
        self._released.set()
