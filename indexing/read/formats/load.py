"""Files and uploads to Documents. Runs in a parser process (indexing.read.pool), which holds time and memory."""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO

from indexing.document import RECORD, Document, document_id
from indexing.errors import NotADocumentError, UnreadableError
from indexing.read.formats import (
    csv,
    doc_ppt,
    docx,
    eml,
    epub,
    html,
    json,
    jsonl,
    mbox,
    msg,
    odf,
    pdf,
    pptx,
    rtf,
    sniff,
    text,
    xlsx,
    xml,
)
from indexing.read.formats.extract import Extract, Limits, real_title

_LOADERS = {
    "epub": epub.load, "html": html.load, "legacy": doc_ppt.load, "mail": eml.load, "message": msg.load,
    "opendocument": odf.load, "pdf": pdf.load, "rich_text": rtf.load, "sheet": xlsx.load,
    "slides": pptx.load, "table": csv.load, "text": text.load, "word": docx.load, "xml": xml.load,
}  # fmt: skip
_STREAMED = {"records": jsonl.load, "mbox": mbox.load}
"""Read piece by piece, with a document of each: the whole may be larger than the memory."""


def load(path: Path, limits: Limits | None = None) -> Iterator[Document]:
    """The documents of a file: one, or one a record. Raises UnreadableError."""
    limits = limits or Limits()
    with _opened(path) as stream:
        yield from _documents(stream, str(path), path.name, limits)


def load_bytes(content: bytes, name: str, limits: Limits | None = None, *, source: str = "") -> Iterator[Document]:
    """The documents of an upload; `name` is only a name: its extension counts, its folders do not."""
    yield from _documents(io.BytesIO(content), source or name, name, limits or Limits())


def _opened(path: Path) -> BinaryIO:
    """A regular file, never through a link that was put in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise UnreadableError(f"cannot be opened: {exc.strerror}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError("not a regular file")
    return os.fdopen(descriptor, "rb")


def _documents(stream: BinaryIO, source: str, name: str, limits: Limits) -> Iterator[Document]:
    head = stream.read(sniff.HEAD)
    kind = None if sniff.is_container(head) else sniff.sniff(head, name)
    if kind is not None and kind.family in _STREAMED:
        stream.seek(0)
        yield from _each(_STREAMED[kind.family](stream, limits), source, kind.media_type)
        return
    content = head + stream.read(limits.max_bytes + 1 - len(head))
    if len(content) > limits.max_bytes:
        raise UnreadableError(f"too large: more than the limit of {limits.max_bytes:,} bytes")
    kind = kind or sniff.sniff_container(content)
    if kind.family == "json":
        value = json.parsed(content)
        if jsonl.are_records(value):
            yield from _each(jsonl.of_list(value, limits), source, kind.media_type)
            return
        extract = json.load(value, limits)
    else:
        extract = _LOADERS[kind.family](content, kind.media_type, limits)
    if not extract.text:
        raise NotADocumentError("empty: it has no text")
    yield _document(extract, source, content, kind.media_type)


def _each(found: Iterator[tuple[bytes, Extract]], source: str, media_type: str) -> Iterator[Document]:
    """One document a record; of records with the same key, the later ones are told apart by their number."""
    seen: set[str] = set()
    empty = True
    for number, (raw, extract) in enumerate(found, 1):
        key = extract.key if extract.key not in seen else f"{extract.key}~{number}"
        seen.add(key)
        if extract.text:
            empty = False
            yield _document(extract, f"{source}{RECORD}{key}", raw, media_type)
    if empty:
        raise UnreadableError("empty: its records have no text")


def _document(extract: Extract, source: str, raw: bytes, media_type: str) -> Document:
    return Document(
        id=document_id(source),
        source=source,
        title=real_title(extract.title) or PurePath(source.partition(RECORD)[0]).stem,
        text=extract.text,
        media_type=media_type,
        metadata=extract.metadata,
        pages=extract.pages,
        content_hash=hashlib.sha256(raw).hexdigest(),
    )
