"""Documents and chunks as rows of Milvus."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from indexing.document import Chunk, Document, Metadata, StoredChunk, passage
from indexing.errors import InvalidDocumentError
from indexing.store.interface import DocumentRow, Item, text_hash
from indexing.store.milvus.client import Row
from indexing.store.milvus.expressions import facts
from indexing.store.milvus.schema import MAX_BYTES, NO_VECTOR, VECTOR

BLOCK_CHARS = 16_000
"""Of a text in one row: MAX_BYTES where each character takes 4."""
DOCUMENT = (
    "document", "version", "source", "title", "media_type", "metadata", "pages", "content_hash", "chars", "chunks",
    "added",
)  # fmt: skip
CITED = ("document", "version", "source", "title", "metadata")
"""Of a document, what a citation of its chunks needs."""
CHUNK = ("id", "document", "version", "ordinal", "text", "start", "stop", "page", "heading")
_NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """A complete version of a document."""

    number: int
    row: DocumentRow


def document_key(document_id: str, version: int) -> str:
    """Sorts by document, the newest version first. The id is in hexadecimal, for pymilvus does not quote keys."""
    return f"{document_id.encode().hex()}-{_NEWEST - version:019}"


def last_key(document_id: str) -> str:
    """Sorts after all versions of a document."""
    return f"{document_id.encode().hex()}-~"


def document_row(item: Item, version: int) -> Row:
    document, chunks, _ = item
    return _checked(document, {
        "key": document_key(document.id, version),
        "document": document.id,
        "version": version,
        "source": document.source,
        "title": document.title,
        "media_type": document.media_type,
        "metadata": json.dumps(dict(document.metadata), ensure_ascii=False),
        "pages": _pages(document.pages),
        "content_hash": document.content_hash,
        "chars": len(document.text),
        "chunks": len(chunks),
        "added": time.time(),
        VECTOR: NO_VECTOR,
    })  # fmt: skip


def read_version(row: Row) -> Version:
    pages = tuple(accumulate(json.loads(row["pages"])))
    return Version(
        row["version"],
        DocumentRow(
            row["document"], row["source"], row["title"], row["media_type"], json.loads(row["metadata"]), pages,
            row["content_hash"], row["chars"], row["chunks"], row["added"],
        ),
    )  # fmt: skip


def read_document(row: DocumentRow, text: str) -> Document:
    return Document(row.id, row.source, row.title, text, row.media_type, row.metadata, row.pages, row.content_hash)


def _pages(starts: Sequence[int]) -> str:
    """As differences, so that thousands of pages fit into a string."""
    return json.dumps([after - before for before, after in pairwise((0, *starts))], separators=(",", ":"))


def chunk_rows(item: Item, version: int, terms: Sequence[str]) -> list[Row]:
    """`terms` are those of each chunk, joined by blanks."""
    document, chunks, vectors = item
    return [
        _checked(document, {
            "id": chunk_id(document.id, version, chunk.ordinal),
            "document": document.id,
            "version": version,
            "source": document.source,
            "title": document.title,
            "facts": facts(document.metadata),
            "ordinal": chunk.ordinal,
            "text": chunk.text,
            "start": chunk.start,
            "stop": chunk.end,
            "page": chunk.page or 0,
            "heading": chunk.heading,
            "hash": text_hash(passage(chunk.heading, chunk.text)),
            "terms": words,
            VECTOR: vector,
        })
        for chunk, vector, words in zip(chunks, vectors, terms, strict=True)
    ]  # fmt: skip


def chunk_id(document_id: str, version: int, ordinal: int) -> int:
    """A hash of 63 bits: of indexes of a billion chunks, one in twenty has two chunks with the same id."""
    digest = hashlib.sha256(f"{document_key(document_id, version)}-{ordinal}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def read_chunk(row: Row) -> Chunk:
    return Chunk(row["ordinal"], row["text"], row["start"], row["stop"], row["page"] or None, row["heading"])


def stored_chunk(row: Row, source: str, title: str, metadata: Metadata) -> StoredChunk:
    chunk = read_chunk(row)
    return StoredChunk(
        row["id"], row["document"], chunk.ordinal, chunk.text, chunk.start, chunk.end, chunk.page, chunk.heading,
        source, title, metadata,
    )  # fmt: skip


def text_rows(document: Document, version: int) -> list[Row]:
    return [
        {
            "key": text_key(document.id, version, start // BLOCK_CHARS),
            "document": document.id,
            "version": version,
            "text": document.text[start : start + BLOCK_CHARS],
            VECTOR: NO_VECTOR,
        }
        for start in range(0, len(document.text), BLOCK_CHARS)
    ]


def text_key(document_id: str, version: int, block: int) -> str:
    return f"{document_key(document_id, version)}-{block:06}"


def _checked(document: Document, row: dict[str, Any]) -> Row:
    for name, value in row.items():
        if isinstance(value, str) and len(value) * 4 > MAX_BYTES and len(value.encode()) > MAX_BYTES:
            raise InvalidDocumentError(
                f"{name} of {document.source} takes {len(value.encode())} bytes, and Milvus holds {MAX_BYTES} at most:"
                " lower index.chunk_tokens, or split the document"
            )
    return row
