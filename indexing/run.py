"""One build under way: read -> embed -> write, overlapped; each stage waits for the next where that one is full."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import numpy as np

from indexing.document import passage
from indexing.embedding import Embedding, Vector, is_away
from indexing.errors import NotADocumentError, UnreadableError
from indexing.parsing import Batch, Parsed, Parsers
from indexing.plan import Plan, content_hash
from indexing.progress import Tally
from indexing.store import Store, text_hash
from indexing.web import Fetcher
from services.errors import RaglineError

P = ParamSpec("P")
T = TypeVar("T")
_WRITE_CHUNKS = 512
"""Of one transaction at most, unless one document has more."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What a build works with."""

    store: Store
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
        texts = [passage(chunk.heading, chunk.text) for chunk in parsed.chunks]
        hashes = [text_hash(text) for text in texts]
        known = await self.blocking(self.store.vectors_for, hashes)
        new = [text for text, key in zip(texts, hashes, strict=True) if key not in known]
        made = dict(zip(new, await self.embedding.vectors(new), strict=True))
        rows = [known[key] if key in known else made[text] for text, key in zip(texts, hashes, strict=True)]
        return np.stack(rows) if rows else np.empty((0, self.store.manifest.dimension), dtype=np.float32)


class Run:
    """Brings files into the store. Failures of single files are counted; a service or disk that fails ends the run."""

    def __init__(
        self, stages: Stages, plan: Plan, tally: Tally, given: frozenset[Path], changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._stages = stages
        self._plan = plan
        self._tally = tally
        self._given = given
        self._changed = changed
        self._room = _Room(stages.waiting_chunks)
        self._writes: asyncio.Queue[tuple[Parsed, Vector] | None] = asyncio.Queue()
        self._partly: dict[str, int] = {}
        self.vanished: list[str] = []
        """Ids of records that their files no longer have."""

    async def files(self, paths: Iterator[tuple[Path | str, int]], readers: int) -> None:
        """Raises the first error that ends the run, bare."""
        try:
            await self._all(paths, readers)
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _all(self, paths: Iterator[tuple[Path | str, int]], readers: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            async with asyncio.TaskGroup() as documents:
                for _ in range(readers):
                    documents.create_task(self._read(paths, documents))
            self._writes.put_nowait(None)

    async def _read(self, paths: Iterator[tuple[Path | str, int]], documents: asyncio.TaskGroup) -> None:
        for path, size in paths:
            try:
                await (self._page(path, documents) if isinstance(path, str) else self._file(path, documents))
            except NotADocumentError as exc:
                if path in self._given or isinstance(path, str):
                    self._tally.fail(str(path), str(exc))
                else:
                    self._tally.skip("not a document" if str(exc).startswith("not") else "empty")
            except UnreadableError as exc:
                self._tally.fail(str(path), str(exc))
            self._tally.files += 1
            self._tally.bytes += size - self._partly.pop(str(path), 0)
            await self._changed()

    async def _file(self, path: Path, documents: asyncio.TaskGroup) -> None:
        before = self._plan.of_file(path)
        try:
            now = await self._stages.blocking(content_hash, path)
        except OSError as exc:
            raise UnreadableError(f"cannot be opened: {exc.strerror}") from exc
        if before.get(str(path), ("", ""))[1] == now:
            self._tally.unchanged += 1
        elif not before and (moved := await self._stages.blocking(self._plan.moved, now)):
            await self._stages.write(self._stages.store.move, moved, str(path))
            self._tally.moved += 1
        else:
            known = {source: row[1] for source, row in before.items()}
            await self._parse(str(path), self._stages.parsers.file(path, known), documents)

    async def _page(self, url: str, documents: asyncio.TaskGroup) -> None:
        page = await self._stages.fetcher.fetch(url)
        known = {source: row[1] for source, row in self._plan.of_file(url).items()}
        with TemporaryDirectory(prefix="ragline-") as folder:
            spooled = Path(folder) / "page"
            await self._stages.blocking(spooled.write_bytes, page.content)
            batches = self._stages.parsers.upload(spooled, page.name, source=url, known=known)
            await self._parse(url, batches, documents)

    async def _parse(self, file: str, batches: AsyncIterator[Batch], documents: asyncio.TaskGroup) -> None:
        seen: set[str] = set()
        async for batch in batches:
            seen.update(batch.same)
            self._partly[file] = self._partly.get(file, 0) + batch.chars
            self._tally.bytes += batch.chars
            self._tally.unchanged += len(batch.same)
            for parsed in batch.parsed:
                seen.add(parsed.document.source)
                await self._room.take(len(parsed.chunks))
                self._tally.waiting += len(parsed.chunks)
                documents.create_task(self._embed(parsed))
        before = self._plan.of_file(file)
        self.vanished += [row[0] for source, row in before.items() if source not in seen]

    async def _embed(self, parsed: Parsed) -> None:
        try:
            vectors = await self._stages.vectors(parsed)
        except RaglineError as exc:
            if is_away(exc):
                raise
            self._tally.fail(parsed.document.source, str(exc))
            self._free(parsed)
        else:
            self._writes.put_nowait((parsed, vectors))

    def _free(self, parsed: Parsed) -> None:
        self._room.free(len(parsed.chunks))
        self._tally.waiting -= len(parsed.chunks)

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
        items = [(self._plan.identified(parsed.document), parsed.chunks, vectors) for parsed, vectors in ready]
        await self._stages.write(self._stages.store.put, items)
        for parsed, _ in ready:
            self._stages.embedding.forget([passage(chunk.heading, chunk.text) for chunk in parsed.chunks])
            self._free(parsed)
            self._tally.documents += 1
            self._tally.chunks += len(parsed.chunks)
            self._tally.tokens += sum(parsed.tokens)
        await self._changed()


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
