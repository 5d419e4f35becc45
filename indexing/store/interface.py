"""What a store does: one interface to a collection, and the types that pass through it.

store.local    on this machine: SQLite, followed by FAISS and tantivy
store.milvus   in a Milvus, which several machines may share
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from indexing.document import RECORD, Chunk, Document, Hit, Metadata, StoredChunk
from indexing.store.filters import Filters
from indexing.store.jobs import Job, State
from indexing.store.lock import Lease
from indexing.store.manifest import Manifest

Vectors = NDArray[np.float32]
Item = tuple[Document, Sequence[Chunk], Vectors]
HASH_BYTES = 16
"""Of a text's hash, the first half of its SHA-256."""


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A stored document without its text."""

    id: str
    source: str
    title: str
    media_type: str
    metadata: Metadata
    pages: tuple[int, ...]
    content_hash: str
    chars: int
    chunks: int
    added: float
    """Seconds since 1970."""


def text_hash(text: str) -> str:
    """What vectors_for() knows a text by; `text` is what is embedded, passage(heading, text)."""
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * HASH_BYTES]


@dataclass(frozen=True, slots=True)
class Stats:
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Problem:
    text: str
    repairable: bool
    """Whether repair() can mend it: what follows SQLite is built again from it."""


class DocumentStore(Protocol):
    """One collection: documents in, hits out. Blocking; for any thread.

    Acknowledged is durable, and a reader sees a document as it was or as it is, never both. store.local.Store says what
    each method does; the tests of tests/indexing/store/test_interface.py hold for every store.
    """

    @property
    def manifest(self) -> Manifest: ...
    def put(self, items: Sequence[Item]) -> None: ...
    def delete(self, document_ids: Iterable[str]) -> int: ...
    def move(self, document_id: str, source: str) -> bool: ...
    def search_dense(self, vector: Vectors, k: int, filters: Filters | None = None) -> list[Hit]: ...
    def search_sparse(self, text: str, k: int, filters: Filters | None = None) -> list[Hit]: ...
    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]: ...
    def document_chunks(self, document_id: str) -> list[StoredChunk]: ...
    def document(self, document_id: str) -> DocumentRow | None: ...
    def documents(self, cursor: str | None = None, limit: int = 100) -> tuple[list[DocumentRow], str | None]: ...
    def known(self) -> dict[str, tuple[str, str]]: ...
    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str: ...
    def vectors_for(self, hashes: Iterable[str]) -> dict[str, Vectors]: ...
    def item(self, document_id: str) -> Item | None: ...
    def stats(self) -> Stats: ...
    def job_begin(self, kind: str, total: int | None, params: Mapping[str, Any]) -> tuple[str, Lease]: ...
    def job_create(self, kind: str, total: int | None = None, params: Mapping[str, Any] | None = None) -> str: ...
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
    ) -> None: ...
    def job(self, job_id: str) -> Job: ...
    def jobs(self, limit: int = 100) -> list[Job]: ...
    def info(self) -> Any:
        """A dataclass: manifest, documents, chunks, and what else this place knows."""

    def verify(self) -> list[Problem]: ...
    def repair(self) -> list[Problem]: ...
    def close(self) -> None: ...


class Stores(Protocol):
    """The collections of one place."""

    def names(self) -> list[str]: ...
    def open(self, name: str) -> DocumentStore: ...
    def create_or_open(self, name: str, manifest: Manifest) -> DocumentStore: ...
    def drop(self, name: str) -> None: ...
    def close(self) -> None: ...


def with_records(store: DocumentStore, document_id: str) -> list[str]:
    """The ids of a document, and of the records of a file with this id: those that are there."""
    found = [document_id] if store.document(document_id) is not None else []
    prefix, cursor = document_id + RECORD, document_id + RECORD
    while True:
        page, following = store.documents(cursor, 1000)
        found += [row.id for row in page if row.id.startswith(prefix)]
        if following is None or not following.startswith(prefix):
            return found
        cursor = following
