"""A collection built anew from its stored texts, with another model or other chunks; and copies of collections."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from indexing.document import Document
from indexing.errors import IndexingError
from indexing.settings import IndexSettings
from indexing.store.interface import DocumentStore
from indexing.store.local import Store
from indexing.sync.indexer import Builder, manifest_of
from indexing.sync.progress import Failure, Progress, Report, Tally
from services.client import EmbedClient

_PAGE = 200
_NAMED = 10
"""Failures that an error tells one by one."""


async def reindex(
    path: Path, embed: EmbedClient, settings: IndexSettings, on_progress: Callable[[Progress], None]
) -> Report:
    """Make the collection at `path` what `settings` and the service say.

    It grows beside the one in use, which is searched and written to meanwhile, and takes its place when it has caught
    up. One that is broken off goes on where it was. Raises IndexingError where documents cannot be built anew.
    """
    live = await asyncio.to_thread(Store.open, path)
    try:
        manifest = await manifest_of(embed, settings)
        if not live.manifest.needs_embedding(manifest):
            await asyncio.to_thread(live.adopt, manifest)
            return Tally(unchanged=live.stats().documents).report("")
        new = await asyncio.to_thread(live.successor, manifest)
        try:
            async with Builder(new, embed, settings) as builder:
                report = await _caught_up(builder, live, new, on_progress)
                while not await asyncio.to_thread(live.promote, new):
                    await _caught_up(builder, live, new, on_progress)
        finally:
            await asyncio.to_thread(new.close)
    finally:
        await asyncio.to_thread(live.close)
    return report


async def _caught_up(builder: Builder, live: Store, new: Store, on_progress: Callable[[Progress], None]) -> Report:
    lag = await asyncio.to_thread(live.lag, new)
    report = await builder.add_all(_texts(live, lag.put), count=len(lag.put), kind="reindex", on_progress=on_progress)
    await asyncio.to_thread(new.delete, lag.delete)
    if report.failures:
        raise _stuck(report.failures)
    return report


def _stuck(failures: Sequence[Failure]) -> IndexingError:
    named = "; ".join(f"{failure.source}: {failure.reason}" for failure in failures[:_NAMED])
    more = f"; and {len(failures) - _NAMED:,} more" if len(failures) > _NAMED else ""
    return IndexingError(
        f"the index stays as it is, for {len(failures):,} of its documents cannot be built anew: {named}{more}. Remove"
        " or replace what is named, and run `ragline index reindex` again: it goes on with what is left"
    )


def _texts(store: Store, identities: Iterable[str]) -> Iterator[Document]:
    """Those that are still there when their turn comes."""
    for identity in identities:
        if (item := store.item(identity)) is not None:
            yield item[0]


def copy(source: DocumentStore, target: DocumentStore) -> Iterator[int]:
    """All documents with their chunks and vectors, nothing embedded again. Gives the number so far, after each page."""
    done = 0
    cursor: str | None = None
    while True:
        rows, cursor = source.documents(cursor, _PAGE)
        items = [item for row in rows if (item := source.item(row.id)) is not None]
        target.put(items)
        done += len(items)
        yield done
        if cursor is None:
            return
