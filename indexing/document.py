"""The types of each stage: Document -> Chunk -> Hit -> StoredChunk. All offsets are characters into Document.text."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

Scalar = str | int | float | bool
Metadata = Mapping[str, Scalar]
MARKDOWN = "text/markdown"
RECORD = "#record="
"""Separates path and key in the source of a record, such as a line of JSONL: /a.jsonl#record=KEY."""


@dataclass(frozen=True, slots=True)
class Document:
    """One source and its whole extracted text."""

    id: str
    """Given by the caller, else document_id(source)."""
    source: str
    """Absolute path, URL or name of an upload."""
    title: str
    text: str
    media_type: str
    metadata: Metadata
    pages: tuple[int, ...]
    """Start offset of each page, () without pages. The page of offset o, from 1, is bisect_right(pages, o)."""
    content_hash: str
    """SHA-256 of the raw bytes; a source with the same hash is not parsed again."""
    omitted: tuple[str, ...] = ()
    """What the source holds and the text does not, such as "2 charts"; for the job's report, not stored."""
    reader: str = ""
    """What read it, such as "pdf 1" (indexing.read.formats.versions); "" where it was given as text."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A slice of a document: text == document.text[start:end]."""

    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    heading: str
    """Title > Section > Subsection; of rows of a table, also its caption and columns: … > Fares: Zone | Price"""


@dataclass(frozen=True, slots=True)
class Hit:
    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with what a citation of it needs."""

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
    """A chunk under its heading: what is embedded, indexed for BM25 and read by the reranker."""
    return f"{heading}\n\n{text}" if heading else text


def document_id(source: str) -> str:
    """The id of a document that was given none."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_of(source: str) -> str:
    """The file or URL of a source: of a record's, the file that holds it."""
    return source.partition(RECORD)[0]


def title_of(source: str) -> str:
    """The title of a document that names none: its file's name."""
    return unicodedata.normalize("NFC", PurePath(file_of(source)).stem)


def is_markdown(media_type: str) -> bool:
    """Whether the text extracted from this media type is Markdown; plain text, source code and subtitles are not."""
    return not media_type.startswith("text/x-") and media_type not in ("text/plain", "text/vtt", "application/x-subrip")


def one_line(text: str) -> str:
    return " ".join(text.split())
