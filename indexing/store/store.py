"""The store of one collection: documents in, hits out. Blocking; for any thread."""

import logging
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from indexing.document import Chunk, Document, Hit, StoredChunk
from indexing.errors import IndexMismatchError, UnknownCollectionError, UnknownJobError
from indexing.store import jobs, rows
from indexing.store.allowed import Allowed, allowed
from indexing.store.check import check_item
from indexing.store.filters import Filters
from indexing.store.generation import Generation
from indexing.store.jobs import Job, State
from indexing.store.lock import WriterLock
from indexing.store.manifest import Manifest
from indexing.store.names import CURRENT
from indexing.store.rows import DocumentRow

log = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
Item = tuple[Document, Sequence[Chunk], Vectors]
_LOCK_TIMEOUT_S = 60.0
_WANTED_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Stats:
    documents: int
    chunks: int
    bytes: int
    """Of all files of the collection."""


class Store:
    """Acknowledged is durable: what put(), delete() and move() did is on the disk when they return.

    Raises IndexMismatchError, StorageError, IndexBusyError and DamagedIndexError (indexing.errors).
    """

    def __init__(self, path: Path, generation: Generation, lock: WriterLock) -> None:
        self._path = path
        self._generation = generation
        self._lock = lock
        self._writer = threading.RLock()
        self._closed = threading.Event()
        self._turns: threading.Thread | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises UnknownCollectionError where there is none."""
        current = path / CURRENT
        if not current.is_file():
            raise UnknownCollectionError(
                f"there is no collection {path.name!r}; `ragline index --collection {path.name} PATH` makes one"
            )
        store = cls(path, Generation.open(path / current.read_text().strip()), WriterLock(path))
        store._catch_up()
        return store

    @classmethod
    def create_or_open(cls, path: Path, manifest: Manifest) -> Self:
        """Raises IndexMismatchError, naming both values, where the collection was built otherwise."""
        if not (path / CURRENT).is_file():
            Generation.first(path, manifest)
        store = cls.open(path)
        try:
            store.manifest.check(manifest, path)
        except IndexMismatchError:
            store.close()
            raise
        return store

    @property
    def manifest(self) -> Manifest:
        return self._generation.manifest

    @property
    def path(self) -> Path:
        return self._path

    def put(self, items: Sequence[Item]) -> None:
        """Add the documents, or replace those of the same id: all of them, or on an error none.

        Vectors are (number of chunks, dimension), L2-normalized. Raises InvalidDocumentError.
        """
        for document, chunks, vectors in items:
            check_item(document, chunks, vectors, self.manifest)
        with self._writing() as generation:
            with generation.database.writing() as connection:
                for document, chunks, vectors in items:
                    rows.remove(connection, document.id)
                    rows.insert(connection, document, chunks, vectors)
            generation.follow()

    def delete(self, document_ids: Iterable[str]) -> int:
        """How many of them there were."""
        with self._writing() as generation:
            with generation.database.writing() as connection:
                removed = sum(rows.remove(connection, each) for each in document_ids)
            if removed:
                generation.follow()
        return removed

    def move(self, document_id: str, source: str) -> bool:
        """Give a document another source; nothing is embedded again. Whether there was such a document."""
        with self._writing() as generation, generation.database.writing() as connection:
            changed = connection.execute("UPDATE documents SET source = ? WHERE id = ?", (source, document_id))
            return changed.rowcount > 0

    def search_dense(self, vector: Vectors, k: int, filters: Filters | None = None) -> list[Hit]:
        """The k chunks of the highest inner product, best first; of those that the filters leave."""
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(-1)
        if query.shape != (self.manifest.dimension,):
            raise IndexMismatchError(
                f"collection {self._path.name!r} has vectors of {self.manifest.dimension} dimensions, the query has"
                f" {len(query)}: embed it with {self.manifest.embedding_model}, or run `ragline index reindex`"
            )
        return self._generation.search_dense(query, k, self._allowed(filters))

    def search_sparse(self, text: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """The k chunks of the highest BM25 score, best first; fewer where fewer have a term of the text."""
        return self._generation.search_sparse(text, k, self._allowed(filters))

    def _allowed(self, filters: Filters | None) -> Allowed | None:
        if not filters:
            return None
        with self._generation.database.reading() as connection:
            return allowed(connection, filters)

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        """In the order of `ids`; those that are gone by now are left out."""
        with self._generation.database.reading() as connection:
            return rows.chunks(connection, ids)

    def document_chunks(self, document_id: str) -> list[StoredChunk]:
        with self._generation.database.reading() as connection:
            return rows.document_chunks(connection, document_id)

    def document(self, document_id: str) -> DocumentRow | None:
        with self._generation.database.reading() as connection:
            return rows.document(connection, document_id)

    def documents(self, cursor: str | None = None, limit: int = 100) -> tuple[list[DocumentRow], str | None]:
        """A page in the order of ids, and the cursor of the next one; None at the end."""
        with self._generation.database.reading() as connection:
            page = rows.documents(connection, cursor or "", limit + 1)
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    def known(self) -> dict[str, tuple[str, str]]:
        """source -> (document id, content hash), of all documents."""
        with self._generation.database.reading() as connection:
            found = connection.execute("SELECT source, id, content_hash FROM documents")
            return {source: (identity, content_hash) for source, identity, content_hash in found}

    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str:
        """document.text[start:end]; "" where there is no such document."""
        with self._generation.database.reading() as connection:
            return rows.text(connection, document_id, start, end) or ""

    def vectors_for(self, hashes: Iterable[str]) -> dict[str, Vectors]:
        """text_hash(passage) -> its vector (d,), of those that are stored."""
        with self._generation.database.reading() as connection:
            return rows.vectors_by_hash(connection, hashes)

    def stats(self) -> Stats:
        with self._generation.database.reading() as connection:
            documents, chunks = connection.execute(
                "SELECT count(*), coalesce(sum(chunks), 0) FROM documents"
            ).fetchone()
        size = sum(each.stat().st_size for each in self._path.rglob("*") if each.is_file())
        return Stats(documents, chunks, size)

    def job_create(self, kind: str, total: int | None = None, params: Mapping[str, Any] | None = None) -> str:
        with self._generation.database.writing() as connection:
            return jobs.create(connection, kind, total, params or {})

    def job_update(
        self,
        job_id: str,
        *,
        state: State | None = None,
        total: int | None = None,
        done: int | None = None,
        chunks: int | None = None,
        tokens: int | None = None,
        message: str | None = None,
        failures: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Sets what is given; failures, (source, reason), are added. Raises UnknownJobError."""
        given = {"state": state, "total": total, "done": done, "chunks": chunks, "tokens": tokens, "message": message}
        values = {name: value for name, value in given.items() if value is not None}
        with self._generation.database.writing() as connection:
            if not jobs.update(connection, job_id, values, failures):
                raise _no_job(job_id)

    def job(self, job_id: str) -> Job:
        """Raises UnknownJobError."""
        with self._generation.database.reading() as connection:
            job = jobs.one(connection, job_id)
        if job is None:
            raise _no_job(job_id)
        return job

    def jobs(self, limit: int = 100) -> list[Job]:
        """Newest first."""
        with self._generation.database.reading() as connection:
            return jobs.newest(connection, limit)

    def close(self) -> None:
        self._closed.set()
        with self._writer:
            self._generation.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Generation]:
        """This thread is the only writer, in all processes. The lock is kept afterwards, until another wants it."""
        with self._writer:
            if not self._lock.held:
                self._lock.acquire(_LOCK_TIMEOUT_S)
            yield self._generation
            if self._turns is None:
                self._turns = threading.Thread(target=self._take_turns, name="index-turns", daemon=True)
                self._turns.start()

    def _take_turns(self) -> None:
        while not self._closed.wait(_WANTED_POLL_S):
            with self._writer:
                if self._lock.held and self._lock.wanted():
                    self._generation.let_go()
                    self._lock.release()

    def _catch_up(self) -> None:
        """Take into BM25 what a killed writer had committed only to SQLite; a living one does it itself."""
        if self._generation.behind():
            with self._writing() as generation:
                generation.follow()


def _no_job(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"there is no job {job_id!r}; `ragline jobs` lists them")


def drop(path: Path) -> None:
    """Delete a collection and all that is in it. Raises UnknownCollectionError, IndexBusyError."""
    if not (path / CURRENT).is_file():
        raise UnknownCollectionError(f"there is no collection {path.name!r}")
    lock = WriterLock(path)
    lock.acquire(_LOCK_TIMEOUT_S)
    try:
        (path / CURRENT).unlink()
        shutil.rmtree(path)
    finally:
        lock.release()
