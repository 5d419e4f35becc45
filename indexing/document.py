"""The types of each stage: Document -> Chunk -> Hit -> StoredChunk. All offsets are characters into Document.text."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

Scalar = str | int | float | bool
Metadata = Mapping[str, Scalar]
RECORD = "#record="
"""Between the path and the key in the source of a record, as of a line of JSONL."""


@dataclass(frozen=True, slots=True)
class Document:
    """One source and its whole extracted text."""

    id: str
    """Stable: given by the caller, else sha256(source)[:32]."""
    source: str
    """Absolute path, URL or upload name."""
    title: str
    text: str
    media_type: str
    metadata: Metadata
    pages: tuple[int, ...]
    """Start offset of each page; () where the format has none. Page of offset o, from 1: bisect_right(pages, o)."""
    content_hash: str
    """sha256 of the raw bytes: an unchanged source is not parsed again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A slice of a document: text == document.text[start:end]."""

    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    heading: str
    """Where it stands: "Title > Section > Sub"."""


@dataclass(frozen=True, slots=True)
class Hit:
    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with what is needed to cite it, as search gives it back."""

    id: int
    document_id: str
    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    heading: str
    source: str
    title: str
    metadata: Metadata


def passage(heading: str, text: str) -> str:
    """What is embedded, indexed for BM25 and read by the reranker: a chunk under its heading."""
    return f"{heading}\n\n{text}" if heading else text


def document_id(source: str) -> str:
    """Of a document that came without one."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:32]
