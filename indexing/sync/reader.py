"""Reads files, pages and texts one after the other, and submits the documents that are new to the pipeline."""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path, PurePath
from tempfile import NamedTemporaryFile

from indexing.document import Document, title_of
from indexing.errors import NotADocumentError, NoTextError, UnreadableError
from indexing.read.pool import Batch
from indexing.store.filters import storable
from indexing.sync.changes import Moved
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
        """Ids of documents whose files are there, and their texts no longer."""

    async def read(self, inputs: Iterator[tuple[Input, int]]) -> None:
        """Read (input, its bytes) to the end; several tasks may share an iterator."""
        while (item := await self._take(inputs)) is not None:
            source, size = item
            name = source.source if isinstance(source, Document) else str(source)
            try:
                await self._read(source)
            except UnreadableError as exc:
                self._count_unread(source, name, exc)
            self._tally.files += 1
            self._tally.bytes += size - self._bytes_read.pop(name, 0)

    def _count_unread(self, source: Input, name: str, error: UnreadableError) -> None:
        """Count it. What is indexed of a file that has no text any more goes; of one that is broken it stays."""
        if isinstance(error, NoTextError) and (before := self._known.of_file(name)):
            self.vanished += [row[0] for row in before.values()]
            self._tally.fail(name, f"{error}; what was indexed of it before is removed")
        elif isinstance(error, NotADocumentError) and isinstance(source, Path) and source not in self._named:
            kind = "not a document" if str(error).startswith("not") else "empty"
            self._tally.skip(kind, name, str(error))
        else:
            self._tally.fail(name, str(error))

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
        before, hashes = self._known.of_file(path), self._known.hashes(path)
        try:
            content_hash = await self._stages.in_thread(_content_hash, path)
        except OSError as exc:
            raise UnreadableError(f"cannot be opened: {exc.strerror}") from exc
        if hashes.get(str(path)) == content_hash:
            self._leave([str(path)])
            return
        moved = None if before else await self._stages.in_thread(self._known.take_moved, str(path), content_hash)
        if moved is not None:
            same = await self._stages.in_thread(self._keeps_its_text, moved, path)
            if same:
                await self._move(moved[1], str(path))
                return
        await self._parse(str(path), self._stages.parsers.file(path, hashes))

    def _leave(self, unchanged: Sequence[str]) -> None:
        self._tally.unchanged += len(unchanged)
        self._tally.outdated += sum(source in self._known.outdated for source in unchanged)

    def _keeps_its_text(self, moved: Moved, path: Path) -> bool:
        """Whether title, headings and media type are those that the file would get under its new name."""
        before, row = PurePath(moved[0]), self._stages.store.document(moved[1])
        same_title = before.stem == path.stem or (row is not None and row.title != title_of(moved[0]))
        return same_title and before.suffix == path.suffix

    async def _move(self, document_id: str, source: str) -> None:
        await self._stages.write(self._stages.store.move, document_id, source)
        self._tally.moved += 1

    async def _page(self, url: str) -> None:
        page = await self._stages.fetcher.fetch(url)
        spooled = await self._stages.in_thread(_spool, page.content)
        try:
            batches = self._stages.parsers.upload(spooled, page.name, source=url, known=self._known.hashes(url))
            await self._parse(url, batches)
        finally:
            await self._stages.in_thread(spooled.unlink)

    async def _parse(self, file: str, batches: AsyncGenerator[Batch]) -> None:
        before = self._known.of_file(file)
        missing = set(before)
        moved_from = [] if before else await self._stages.in_thread(self._known.gone_record_files)
        async with aclosing(batches):
            async for batch in batches:
                missing.difference_update(batch.unchanged)
                self._bytes_read[file] = self._bytes_read.get(file, 0) + batch.chars
                self._tally.bytes += batch.chars
                self._leave(batch.unchanged)
                for parsed in batch.parsed:
                    missing.discard(parsed.document.source)
                    if moved_from and await self._moves(parsed.document, moved_from):
                        continue
                    await self._pipeline.submit(parsed)
        self.vanished += [before[source][0] for source in missing]

    async def _moves(self, document: Document, gone: list[str]) -> bool:
        """Move a record that was in a file that is gone. False where it is new, or another as a document."""
        moved = self._known.take_moved_record(document.source, document.content_hash, gone)
        row = await self._stages.in_thread(self._stages.store.document, moved[1]) if moved else None
        if row is None or (row.title, row.media_type) != (document.title, document.media_type):
            return False
        await self._move(row.id, document.source)
        return True


def _content_hash(path: Path) -> str:
    # Without O_NONBLOCK, a pipe would be waited for until something writes to it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnreadableError("not a regular file")
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spool(content: bytes) -> Path:
    with NamedTemporaryFile(prefix="ragline-", delete=False) as file:
        file.write(content)
    return Path(file.name)
