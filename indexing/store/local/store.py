"""The store of a collection on this machine."""

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from indexing.document import Hit, StoredChunk
from indexing.errors import IndexBusyError, IndexMismatchError, StorageError
from indexing.store import jobs
from indexing.store.check import check_item, check_query
from indexing.store.filters import Filters
from indexing.store.interface import DocumentRow, DocumentStore, Item, Known, Problem, Stats, Vectors
from indexing.store.jobs import JobStore
from indexing.store.local import maintenance, snapshot
from indexing.store.local.collection import CurrentGeneration, create, is_collection
from indexing.store.local.maintenance import LocalInfo
from indexing.store.local.sqlite import rows
from indexing.store.local.successor import Lag, adopt, install, lag_between, successor_path
from indexing.store.local.writer import Writer
from indexing.store.manifest import Manifest

log = logging.getLogger(__name__)

_CATCH_UP_TIMEOUT_S = 1.0
_PAGE = 1000


class LocalJobs(JobStore):
    """The jobs of a collection; neither FAISS nor BM25 is read."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Raises UnknownCollectionError."""
        self.path = path
        self._current = CurrentGeneration(path, threads)

    def close(self) -> None:
        self._current.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._current.using() as generation, generation.database.reading() as connection:
            yield connection

    @contextmanager
    def _writing_jobs(self) -> Iterator[sqlite3.Connection]:
        """Without the writer's lock, for SQLite has its own.

        Tried again where the generation was replaced while this waited for SQLite's lock.
        """
        while True:
            with self._current.using() as generation, generation.database.writing() as connection:
                with self._current.using() as now:
                    pass
                if now is generation:
                    yield connection
                    return

    def _lease_path(self, job_id: str) -> Path:
        return self.path / f"lock.job-{job_id}"


class Store(LocalJobs, DocumentStore):
    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """A search runs on `threads` threads. Raises UnknownCollectionError."""
        super().__init__(path, threads=threads)
        self._writer = Writer(path, self._current, os.cpu_count() or 1)
        with self._current.using() as generation:
            behind = generation.sparse.is_behind()
        if behind:
            try:
                with self._writer.writing(_CATCH_UP_TIMEOUT_S) as generation:
                    generation.catch_up()
            except (StorageError, IndexBusyError) as exc:
                log.warning("BM25 of %s is behind, and will catch up with the next write: %s", path, exc)
        self._writer.schedule_merges()

    @classmethod
    def open(cls, path: Path, *, threads: int = 1) -> Self:
        return cls(path, threads=threads)

    @classmethod
    def create_or_open(cls, path: Path, manifest: Manifest, *, threads: int = 1) -> Self:
        """Raises IndexMismatchError where the collection has another manifest, or none can be made of this one."""
        if not is_collection(path):
            create(path, manifest)
        store = cls(path, threads=threads)
        try:
            store.manifest.check(manifest, path)
        except IndexMismatchError:
            store.close()
            raise
        return store

    @property
    def manifest(self) -> Manifest:
        with self._current.using() as generation:
            return generation.manifest

    def put(self, items: Sequence[Item], made_for: Manifest | None = None) -> None:
        manifest = self.manifest
        manifest.check_made_for(made_for, self.path)
        for document, chunks, vectors in items:
            check_item(document, chunks, vectors, manifest)
        with self._writer.writing() as generation:
            generation.manifest.check_made_for(made_for or manifest, self.path)  # no reindex ends while this writes
            with generation.database.writing() as connection:
                for document, chunks, vectors in items:
                    rows.remove(connection, document.id)
                    rows.insert(connection, document, chunks, vectors)
            self._writer.catch_up(generation)

    def delete(self, document_ids: Iterable[str]) -> int:
        with self._writer.writing() as generation:
            with generation.database.writing() as connection:
                removed = sum(rows.remove(connection, each) for each in document_ids)
            if removed:
                self._writer.catch_up(generation)
        return removed

    def move(self, document_id: str, source: str) -> bool:
        with self._writer.writing() as generation, generation.database.writing() as connection:
            changed = connection.execute("UPDATE documents SET source = ? WHERE id = ?", (source, document_id))
            return changed.rowcount > 0

    def search_dense(self, vector: Vectors, k: int, filters: Filters | None = None) -> list[Hit]:
        query = check_query(vector, self.manifest, self.path.name)
        with self._current.using() as generation:
            return generation.search_dense(query, k, generation.allowed(filters))

    def search_sparse(self, text: str, k: int, filters: Filters | None = None) -> list[Hit]:
        with self._current.using() as generation:
            return generation.search_sparse(text, k, generation.allowed(filters))

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        with self._reading() as connection:
            return rows.chunks(connection, ids)

    def document_chunks(self, document_id: str) -> list[StoredChunk]:
        with self._reading() as connection:
            return rows.document_chunks(connection, document_id)

    def document(self, document_id: str) -> DocumentRow | None:
        with self._reading() as connection:
            return rows.document(connection, document_id)

    def documents(self, cursor: str | None = None, limit: int = 100) -> tuple[list[DocumentRow], str | None]:
        with self._reading() as connection:
            page = rows.documents(connection, cursor or "", limit + 1)
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    def known(
        self, *, files: Collection[str] = (), hashes: Collection[str] = (), ids: Collection[str] = ()
    ) -> list[Known]:
        with self._reading() as connection:
            return rows.known(connection, files, hashes, ids)

    def known_below(self, prefix: str) -> Iterator[Known]:
        page: list[Known] = []
        while True:
            with self._reading() as connection:
                page = rows.known_below(connection, prefix, page[-1] if page else None, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return

    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str:
        with self._reading() as connection:
            return rows.text(connection, document_id, start, end) or ""

    def vectors_for(self, hashes: Iterable[str]) -> dict[str, Vectors]:
        with self._reading() as connection:
            return rows.vectors_by_hash(connection, hashes)

    def item(self, document_id: str) -> Item | None:
        with self._current.using() as generation, generation.database.reading() as connection:
            return rows.item(connection, document_id, generation.manifest.dimension)

    def version(self) -> str:
        with self._current.using() as generation:
            return f"{generation.token} {generation.database.data_version()}"

    def stats(self) -> Stats:
        with self._reading() as connection:
            return Stats(*connection.execute("SELECT documents, chunks FROM counts").fetchone())

    def adopt(self, wanted: Manifest) -> None:
        """Change the manifest where nothing must be embedded again: to other `vectors`, or to another `language`.

        Raises IndexMismatchError for other changes, which take a successor().
        """
        adopt(self._writer, wanted)

    def successor(self, manifest: Manifest) -> "Store":
        """Open the store that is to replace this one: an empty one, or what an earlier call left unfinished.

        Put the documents that lag() names into it until there are none, then promote() it.
        """
        return Store.create_or_open(successor_path(self.path, manifest), manifest)

    def lag(self, successor: "Store") -> Lag:
        with self._reading() as old, successor._reading() as new:  # noqa: SLF001 (one of this class)
            return lag_between(old, new)

    def promote(self, successor: "Store") -> bool:
        """Replace this store's generation by the successor's, for all processes, and close the successor.

        Returns False, without a change, where something was written that the successor lacks.
        """
        with self._writer.exclusive() as generation:
            with generation.database.reading() as old, successor._reading() as new:  # noqa: SLF001 (one of this class)
                if lag_between(old, new):
                    return False
            # Who writes a job meanwhile waits for this transaction, and then finds the new generation.
            with generation.database.writing() as old:
                with successor._writing_jobs() as new:  # noqa: SLF001 (one of this class)
                    jobs.copy(old, new)
                successor.close()
                install(self.path, successor.path)
            return True

    def info(self) -> LocalInfo:
        with self._current.using() as generation:
            return maintenance.info(generation)

    def verify(self) -> list[Problem]:
        return maintenance.verify(self._writer)

    def repair(self) -> tuple[list[Problem], list[Problem]]:
        return maintenance.repair(self._writer)

    def compact(self) -> None:
        """Merge all segments into one without deleted chunks, and give back disk space."""
        maintenance.compact(self._writer)

    def snapshot(self, target: Path) -> None:
        """Copy the collection to a new directory, for restore(). Raises StorageError."""
        snapshot.snapshot(self._writer, target)

    def run_merges(self) -> None:
        """Do the merges that are due before returning; otherwise they run in the background while the store is open."""
        self._writer.run_merges()

    def close(self) -> None:
        self._writer.close()
