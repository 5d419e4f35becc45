"""Reads files, pages and texts one after the other, and submits the documents that are new to the pipeline."""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath
from tempfile import NamedTemporaryFile

from indexing.document import RECORD, Document, title_of
from indexing.errors import NotADocumentError, NoTextError, UnreadableError
from indexing.read.pool import Batch, Parsed
from indexing.store.filters import storable
from indexing.store.interface import DocumentStore, Known
from indexing.sync.changes import KnownDocuments, Rows, is_outdated
from indexing.sync.pipeline import Pipeline, Stages
from indexing.sync.progress import Tally

Input = Path | str | Document
"""A file, a URL, or a document that is text already."""
LookedUp = tuple[Input, int, Rows]
"""An input, its bytes, and what is indexed of it."""
_AHEAD = 256
"""Files that are looked up at once."""


class Reader:
    """A file that cannot be read is counted, and does not stop the run."""

    def __init__(
        self, stages: Stages, tally: Tally, pipeline: Pipeline, *, named: Collection[Path], reread: bool
    ) -> None:
        """`named` files are failures even where they are no documents; other such files are skipped.

        With `reread`, documents of an older reader count as changed.
        """
        self._stages = stages
        self._tally = tally
        self._pipeline = pipeline
        self._known = KnownDocuments(stages.store)
        self._named = named
        self._reread = reread
        self._next = asyncio.Lock()
        self._bytes_read: dict[str, int] = {}
        self.new: list[str] = []
        """Files of which nothing was indexed when they were looked up."""
        self.vanished: list[str] = []
        """Ids of documents whose files are there, and their texts no longer."""

    async def read(self, inputs: Iterator[LookedUp]) -> None:
        """Read to the end; several tasks may share an iterator."""
        while (item := await self._take(inputs)) is not None:
            source, size, before = item
            name = source.source if isinstance(source, Document) else str(source)
            try:
                await self._read(source, before)
            except UnreadableError as exc:
                self._count_unread(source, name, before, exc)
            self._tally.files += 1
            self._tally.bytes += size - self._bytes_read.pop(name, 0)

    def _count_unread(self, source: Input, name: str, before: Rows, error: UnreadableError) -> None:
        """Count it. What is indexed of a file that has no text any more goes; of one that is broken it stays."""
        if isinstance(error, NoTextError) and before:
            self.vanished += [row.id for row in before.values()]
            self._tally.fail(name, f"{error}; what was indexed of it before is removed")
        elif isinstance(error, NotADocumentError) and isinstance(source, Path) and source not in self._named:
            kind = "not a document" if str(error).startswith("not") else "empty"
            self._tally.skip(kind, name, str(error))
        else:
            self._tally.fail(name, str(error))

    async def _take(self, inputs: Iterator[LookedUp]) -> LookedUp | None:
        """On a thread: the iterator may read from a disk."""
        async with self._next:
            return await self._stages.in_thread(next, inputs, None)

    async def _read(self, source: Input, before: Rows) -> None:
        if isinstance(source, Document):
            await self._pipeline.submit(await self._stages.parsers.document(source))
        elif isinstance(source, str):
            await self._page(source, before)
        else:
            await self._file(source, before)

    async def _file(self, path: Path, before: Rows) -> None:
        name = str(path)
        if not storable(name):
            raise UnreadableError("its name is not in UTF-8, and cannot be stored: rename it")
        try:
            content_hash = await self._stages.in_thread(_content_hash, path)
        except OSError as exc:
            raise UnreadableError(f"cannot be opened: {exc.strerror}") from exc
        hashes = self._hashes(before)
        if hashes.get(name) == content_hash:
            self._leave([before[name]])
            return
        if not before:
            self.new.append(name)
            before = await self._stages.in_thread(self._known.take_moved, {name: content_hash})
            same = bool(before) and await self._stages.in_thread(self._keeps_its_text, before[name], path)
            if same:
                await self._move(before[name].id, name)
                return
        await self._parse(name, self._stages.parsers.file(path, hashes), before)

    def _hashes(self, before: Rows) -> dict[str, str]:
        """Source -> content hash of the documents that are unchanged if it is the same."""
        return {source: row.content_hash for source, row in before.items() if not (self._reread and is_outdated(row))}

    def _leave(self, unchanged: Collection[Known]) -> None:
        self._tally.unchanged += len(unchanged)
        self._tally.outdated += sum(map(is_outdated, unchanged))

    def _keeps_its_text(self, moved: Known, path: Path) -> bool:
        """Whether title, headings and media type are those that the file would get under its new name."""
        before, row = PurePath(moved.source), self._stages.store.document(moved.id)
        same_title = before.stem == path.stem or (row is not None and row.title != title_of(moved.source))
        return same_title and before.suffix == path.suffix

    async def _move(self, document_id: str, source: str) -> None:
        await self._stages.write(self._stages.store.move, document_id, source)
        self._tally.moved += 1

    async def _page(self, url: str, before: Rows) -> None:
        page = await self._stages.fetcher.fetch(url)
        spooled = await self._stages.in_thread(_spool, page.content)
        try:
            batches = self._stages.parsers.upload(spooled, page.name, source=url, known=self._hashes(before))
            await self._parse(url, batches, before)
        finally:
            await self._stages.in_thread(spooled.unlink)

    async def _parse(self, file: str, batches: AsyncGenerator[Batch], before: Rows) -> None:
        missing = set(before)
        async with aclosing(batches):
            async for batch in batches:
                missing.difference_update(batch.unchanged)
                self._bytes_read[file] = self._bytes_read.get(file, 0) + batch.chars
                self._tally.bytes += batch.chars
                self._leave([before[source] for source in batch.unchanged])
                missing.difference_update(parsed.document.source for parsed in batch.parsed)
                moves, rest = await self._stages.in_thread(self._place, batch.parsed, before)
                for document_id, source in moves:
                    await self._move(document_id, source)
                for parsed in rest:
                    await self._pipeline.submit(parsed)
        self.vanished += [before[source].id for source in missing]

    def _place(self, batch: Sequence[Parsed], before: Rows) -> tuple[list[tuple[str, str]], list[Parsed]]:
        """(document id, new source) of the records that were in a file that is gone; the others, with their ids."""
        sources = {parsed.document.source: parsed.document.content_hash for parsed in batch}
        records = {} if before else {source: digest for source, digest in sources.items() if RECORD in source}
        moved = self._known.take_moved(records)
        moves, rest = [], []
        for parsed in batch:
            document = parsed.document
            row = self._stages.store.document(moved[document.source].id) if document.source in moved else None
            if row is not None and (row.title, row.media_type) == (document.title, document.media_type):
                moves.append((row.id, document.source))
            else:
                rest.append(parsed)
        documents = self._known.with_ids([parsed.document for parsed in rest], moved or before)
        return moves, [replace(parsed, document=document) for parsed, document in zip(rest, documents, strict=True)]


def looked_up(store: DocumentStore, inputs: Iterator[tuple[Path | str, int]]) -> Iterator[LookedUp]:
    """(file or URL, its bytes) with what the store has of it."""
    known = KnownDocuments(store)
    while some := list(islice(inputs, _AHEAD)):
        rows = known.of_files([str(source) for source, _ in some if storable(str(source))])
        yield from ((source, size, rows.get(str(source), {})) for source, size in some)


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
