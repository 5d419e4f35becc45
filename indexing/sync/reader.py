"""What is given to index, read one after the other into the pipeline: files, pages, documents that are text already."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from tempfile import NamedTemporaryFile

from indexing.document import Document
from indexing.errors import NotADocumentError, UnreadableError
from indexing.read.pool import Batch
from indexing.store.filters import storable
from indexing.sync.changes import content_hash
from indexing.sync.pipeline import Build, Pipeline

Given = Path | str | Document
"""A file, a URL, or a document that is text already."""


class Intake:
    """Failures of single files are counted, and stop nothing."""

    def __init__(self, build: Build, pipeline: Pipeline, named: frozenset[Path] = frozenset()) -> None:
        """`named` files are reported even where they are no documents."""
        self._stages = build.stages
        self._plan = build.plan
        self._tally = build.tally
        self._pipeline = pipeline
        self._named = named
        self._next = asyncio.Lock()
        self._partly: dict[str, int] = {}
        self.vanished: list[str] = []
        """Ids of records that their files no longer have."""

    async def read(self, given: Iterator[tuple[Given, int]]) -> None:
        """All of it, (what, its bytes); several may read from the same iterator."""
        while (item := await self._taken(given)) is not None:
            what, size = item
            try:
                await self._one(what)
            except NotADocumentError as exc:
                if isinstance(what, Path) and what not in self._named:
                    self._tally.skip("not a document" if str(exc).startswith("not") else "empty")
                else:
                    self._tally.fail(name_of(what), str(exc))
            except UnreadableError as exc:
                self._tally.fail(name_of(what), str(exc))
            self._tally.files += 1
            self._tally.bytes += size - self._partly.pop(name_of(what), 0)

    async def _taken(self, given: Iterator[tuple[Given, int]]) -> tuple[Given, int] | None:
        """On a thread: the iterator may read from a disk."""
        async with self._next:
            return await self._stages.blocking(next, given, None)

    async def _one(self, what: Given) -> None:
        if isinstance(what, Document):
            await self._pipeline.submit(await self._stages.parsers.document(what))
        elif isinstance(what, str):
            await self._page(what)
        else:
            await self._file(what)

    async def _file(self, path: Path) -> None:
        if not storable(str(path)):
            raise UnreadableError("its name is not in UTF-8, and cannot be stored: rename it")
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
            await self._parse(str(path), self._stages.parsers.file(path, known))

    async def _page(self, url: str) -> None:
        page = await self._stages.fetcher.fetch(url)
        known = {source: row[1] for source, row in self._plan.of_file(url).items()}
        spooled = await self._stages.blocking(_spooled, page.content)
        try:
            batches = self._stages.parsers.upload(spooled, page.name, source=url, known=known)
            await self._parse(url, batches)
        finally:
            await self._stages.blocking(spooled.unlink)

    async def _parse(self, file: str, batches: AsyncGenerator[Batch]) -> None:
        before = self._plan.of_file(file)
        missing = set(before)
        async with aclosing(batches):
            async for batch in batches:
                missing.difference_update(batch.same)
                self._partly[file] = self._partly.get(file, 0) + batch.chars
                self._tally.bytes += batch.chars
                self._tally.unchanged += len(batch.same)
                for parsed in batch.parsed:
                    missing.discard(parsed.document.source)
                    await self._pipeline.submit(parsed)
        self.vanished += [before[source][0] for source in missing]


def _spooled(content: bytes) -> Path:
    with NamedTemporaryFile(prefix="ragline-", delete=False) as file:
        file.write(content)
    return Path(file.name)


def name_of(what: Given) -> str:
    return what.source if isinstance(what, Document) else str(what)
