"""Reads files, pages and texts one after the other, and submits the documents that are new to the pipeline."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from tempfile import NamedTemporaryFile

from indexing.document import Document
from indexing.errors import NotADocumentError, UnreadableError
from indexing.read.pool import Batch
from indexing.store.filters import storable
from indexing.sync.pipeline import Pipeline, Run

Input = Path | str | Document
"""A file, a URL, or a document that is text already."""


class Reader:
    """A file that cannot be read is counted, and does not stop the run."""

    def __init__(self, run: Run, pipeline: Pipeline, named: frozenset[Path] = frozenset()) -> None:
        """`named` files are failures even where they are no documents; other such files are skipped."""
        self._stages = run.stages
        self._known = run.known
        self._tally = run.tally
        self._pipeline = pipeline
        self._named = named
        self._next = asyncio.Lock()
        self._bytes_read: dict[str, int] = {}
        self.vanished: list[str] = []
        """Ids of records that are no longer in their files."""

    async def read(self, inputs: Iterator[tuple[Input, int]]) -> None:
        """Read (input, its bytes) to the end; several tasks may share an iterator."""
        while (item := await self._take(inputs)) is not None:
            source, size = item
            name = source.source if isinstance(source, Document) else str(source)
            try:
                await self._read(source)
            except NotADocumentError as exc:
                if isinstance(source, Path) and source not in self._named:
                    kind = "not a document" if str(exc).startswith("not") else "empty"
                    self._tally.skip(kind, name, str(exc))
                else:
                    self._tally.fail(name, str(exc))
            except UnreadableError as exc:
                self._tally.fail(name, str(exc))
            self._tally.files += 1
            self._tally.bytes += size - self._bytes_read.pop(name, 0)

    async def _take(self, inputs: Iterator[tuple[Input, int]]) -> tuple[Input, int] | None:
        """On a thread: the iterator may read from a disk."""
        async with self._next:
            return await self._stages.in_thread(next, inputs, None)

    async def _read(self, source: Input) -> None:
        if isinstance(source, Document):
            await self._pipeline.submit(await self._stages.parsers.document(source))
        elif isinstance(source, str):
            await self._page(source)
        else:
            await self._file(source)

    async def _file(self, path: Path) -> None:
        if not storable(str(path)):
            raise UnreadableError("its name is not in UTF-8, and cannot be stored: rename it")
        before = self._known.of_file(path)
        try:
            content_hash = await self._stages.in_thread(_content_hash, path)
        except OSError as exc:
            raise UnreadableError(f"cannot be opened: {exc.strerror}") from exc
        if before.get(str(path), ("", ""))[1] == content_hash:
            self._tally.unchanged += 1
        elif not before and (moved := await self._stages.in_thread(self._known.take_moved, content_hash)):
            await self._stages.write(self._stages.store.move, moved, str(path))
            self._tally.moved += 1
        else:
            hashes = {source: row[1] for source, row in before.items()}
            await self._parse(str(path), self._stages.parsers.file(path, hashes))

    async def _page(self, url: str) -> None:
        page = await self._stages.fetcher.fetch(url)
        hashes = {source: row[1] for source, row in self._known.of_file(url).items()}
        spooled = await self._stages.in_thread(_spool, page.content)
        try:
            batches = self._stages.parsers.upload(spooled, page.name, source=url, known=hashes)
            await self._parse(url, batches)
        finally:
            await self._stages.in_thread(spooled.unlink)

    async def _parse(self, file: str, batches: AsyncGenerator[Batch]) -> None:
        before = self._known.of_file(file)
        missing = set(before)
        async with aclosing(batches):
            async for batch in batches:
                missing.difference_update(batch.unchanged)
                self._bytes_read[file] = self._bytes_read.get(file, 0) + batch.chars
                self._tally.bytes += batch.chars
                self._tally.unchanged += len(batch.unchanged)
                for parsed in batch.parsed:
                    missing.discard(parsed.document.source)
                    await self._pipeline.submit(parsed)
        self.vanished += [before[source][0] for source in missing]


def _content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spool(content: bytes) -> Path:
    with NamedTemporaryFile(prefix="ragline-", delete=False) as file:
        file.write(content)
    return Path(file.name)
