"""What a store does: one interface to a collection, and the types that pass through it.

store.local    on this machine: SQLite, and beside it FAISS and tantivy, which can be built again from it
store.milvus   in a Milvus, which several machines may share
"""

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from indexing.document import RECORD, Chunk, Document, Hit, Metadata, StoredChunk
from indexing.store.filters import Filters
from indexing.store.jobs import JobStore
from indexing.store.manifest import Manifest

Vectors = NDArray[np.float32]
Item = tuple[Document, Sequence[Chunk], Vectors]
"""A document, its chunks, and their vectors (chunks, dimension), L2-normalized."""


def text_hash(text: str) -> str:
    """The first half of the SHA-256 of an embedded text, passage(heading, text), in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


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
    reader: str = ""
    """As of a Document; "" in Milvus, which does not keep it."""


def after_all(prefix: str) -> str:
    """The first text after all that begin with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Known(NamedTuple):
    """What a run compares with the files."""

    source: str
    id: str
    content_hash: str
    reader: str


@dataclass(frozen=True, slots=True)
class Stats:
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Info:
    """What `ragline index info` prints: its fields are the keys of the JSON. Each kind of store adds some."""

    manifest: Manifest
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Problem:
    text: str
    repairable: bool
    """Whether repair() removes it."""
    otherwise: str = "restore a snapshot: `ragline index restore`"
    """What to do where repair() does not."""


class DocumentStore(JobStore):
    """One collection. Its methods block, and may be called from any thread.

    What put(), delete() and move() did is durable when they return; a reader sees a document before or after a change,
    never a mixture. Raises StorageError, IndexBusyError and DamagedIndexError, or UnavailableError from a Milvus.
    """

    @property
    @abstractmethod
    def manifest(self) -> Manifest: ...

    @abstractmethod
    def put(self, items: Sequence[Item], made_for: Manifest | None = None) -> None:
        """Add the documents, or replace those of the same id, each of them whole.

        On an error the local store keeps none of them, and Milvus those that were complete.
        Raises InvalidDocumentError, and IndexMismatchError for vectors of another dimension, or where the chunks and
        vectors were made for another manifest than the collection has now: a reindex may have replaced it.
        """

    @abstractmethod
    def delete(self, document_ids: Iterable[str]) -> int:
        """Returns how many of the documents there were."""

    @abstractmethod
    def move(self, document_id: str, source: str) -> bool:
        """Change a document's source without embedding it again. False where there is no such document."""

    @abstractmethod
    def search_dense(self, vector: Vectors, k: int, filters: Filters | None = None) -> list[Hit]:
        """The k chunks of the highest inner product with `vector`, (d,), best first.

        Raises IndexMismatchError for a vector of another dimension, and FilterError.
        """

    @abstractmethod
    def search_sparse(self, text: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """The k chunks of the highest BM25 score, best first; only chunks that have a term of the text.

        Raises FilterError.
        """

    @abstractmethod
    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        """In the order of `ids`, without chunks that were deleted."""

    @abstractmethod
    def document_chunks(self, document_id: str) -> list[StoredChunk]:
        """All chunks of a document, by ordinal; [] where there is no such document."""

    @abstractmethod
    def document(self, document_id: str) -> DocumentRow | None: ...

    @abstractmethod
    def documents(self, cursor: str | None = None, limit: int = 100) -> tuple[list[DocumentRow], str | None]:
        """A page in the order of ids, and the cursor of the next page; None after the last."""

    @abstractmethod
    def known(
        self, *, files: Collection[str] = (), hashes: Collection[str] = (), ids: Collection[str] = ()
    ) -> list[Known]:
        """The documents and records of these files, those of these content hashes, and those of these ids."""

    @abstractmethod
    def known_below(self, prefix: str) -> Iterator[Known]:
        """The documents whose sources begin with `prefix`, a folder and its slash; "" for all. Read page by page."""

    @abstractmethod
    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str:
        """document.text[start:end]; "" where there is no such document."""

    @abstractmethod
    def vectors_for(self, hashes: Iterable[str]) -> dict[str, Vectors]:
        """text_hash -> the stored vector (d,) of that text, so that it is not embedded again; may lack some."""

    @abstractmethod
    def item(self, document_id: str) -> Item | None:
        """A document as it was put, to copy it or to embed it again."""

    @abstractmethod
    def version(self) -> str | None:
        """A text that each put, delete and move changes, by whatever process; for this process alone.

        Cheap enough for every question. None where the store cannot tell.
        """

    @abstractmethod
    def stats(self) -> Stats: ...

    @abstractmethod
    def info(self) -> Info: ...

    @abstractmethod
    def verify(self) -> list[Problem]:
        """Find contradictions in what is stored."""

    @abstractmethod
    def repair(self) -> tuple[list[Problem], list[Problem]]:
        """Repair what can be. Returns the problems that there were, and those that remain."""


class Stores(Protocol):
    """The collections of a data directory or of a Milvus."""

    def names(self) -> list[str]: ...

    def open(self, name: str) -> DocumentStore:
        """Raises UnknownCollectionError."""

    def jobs(self, name: str) -> JobStore:
        """Opens the jobs of a collection and nothing else of it. Raises UnknownCollectionError."""

    def create_or_open(self, name: str, manifest: Manifest) -> DocumentStore:
        """Raises IndexMismatchError where the collection has another manifest, or none can be made of this one."""

    def drop(self, name: str) -> None:
        """Delete the collection. Raises UnknownCollectionError, IndexBusyError."""

    def close(self) -> None: ...


def with_records(store: DocumentStore, document_id: str) -> list[str]:
    """The stored ids of a document and of the records in it, as of the lines of a JSONL file."""
    found = [document_id] if store.document(document_id) is not None else []
    prefix = document_id + RECORD
    cursor: str | None = prefix
    while cursor is not None and cursor.startswith(prefix):
        page, cursor = store.documents(cursor, 1000)
        found += [row.id for row in page if row.id.startswith(prefix)]
    return found
