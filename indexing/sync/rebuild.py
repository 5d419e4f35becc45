"""Rebuilds a collection from its stored texts, for another model or other chunks; copies collections."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from indexing.document import Document
from indexing.errors import IndexingError
from indexing.settings import IndexSettings
from indexing.store.interface import DocumentStore
from indexing.store.local import Store
from indexing.sync.indexer import Indexer, manifest_of
from indexing.sync.progress import Failure, Progress, Report, Tally
from services.client import EmbedClient

_PAGE = 200
_LISTED = 10
"""Failures that an error lists."""


async def reindex(
    path: Path, embed: EmbedClient, settings: IndexSettings, on_progress: Callable[[Progress], None]
) -> Report:
    """Rebuild the collection at `path` for the present settings and embed service.

    The new index grows beside the one in use, which is searched and written to meanwhile, and replaces it once it has
    the same documents. An interrupted rebuild continues. Raises IndexingError where documents cannot be rebuilt.
    """
    live = await asyncio.to_thread(Store.open, path)
    try:
        manifest = await manifest_of(embed, settings)
        if not live.manifest.asks_to_embed(manifest):
            await asyncio.to_thread(live.adopt, manifest)
            return Tally(unchanged=live.stats().documents).report("")
        new = await asyncio.to_thread(live.successor, manifest)
        try:
            async with Indexer(new, embed, settings) as indexer:
                report = await _catch_up(indexer, live, new, on_progress)
                while not await asyncio.to_thread(live.promote, new):
                    await _catch_up(indexer, live, new, on_progress)
        finally:
            await asyncio.to_thread(new.close)
    finally:
        await asyncio.to_thread(live.close)
    return report


async def _catch_up(indexer: Indexer, live: Store, new: Store, on_progress: Callable[[Progress], None]) -> Report:
    lag = await asyncio.to_thread(live.lag, new)
    report = await indexer.add_all(
        _documents(live, lag.put), count=len(lag.put), kind="reindex", on_progress=on_progress
    )
    await asyncio.to_thread(new.delete, lag.delete)
    if report.failures:
        raise _rebuild_error(report.failures)
    return report


def _rebuild_error(failures: Sequence[Failure]) -> IndexingError:
    listed = "; ".join(f"{failure.source}: {failure.reason}" for failure in failures[:_LISTED])
    more = f"; and {len(failures) - _LISTED:,} more" if len(failures) > _LISTED else ""
    return IndexingError(
        f"the index stays as it is, for {len(failures):,} of its documents cannot be rebuilt: {listed}{more}. Remove"
        " or replace what is listed, and run `ragline index reindex` again: it goes on with what is left"
    )


def _documents(store: Store, identities: Iterable[str]) -> Iterator[Document]:
    """Read one by one; those that were deleted meanwhile are left out."""
    for identity in identities:
        if (item := store.item(identity)) is not None:
            yield item[0]


def copy(source: DocumentStore, target: DocumentStore) -> Iterator[int]:
    """Copy documents, chunks and vectors; nothing is embedded again. Yields the number so far, after each page."""
    copied = 0
    cursor: str | None = None
    while True:
        rows, cursor = source.documents(cursor, _PAGE)
        items = [item for row in rows if (item := source.item(row.id)) is not None]
        target.put(items)
        copied += len(items)
        yield copied
        if cursor is None:
            return
