"""Files and uploads to Documents, in a parser process (indexing.read.worker)."""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from indexing.document import RECORD, Document, document_id, title_of
from indexing.errors import NoTextError, UnreadableError
from indexing.read.formats import (
    csv,
    doc_ppt,
    docx,
    eml,
    epub,
    html,
    ical,
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
from indexing.read.formats.extract import Extract, Limits, real_title, require_chars
from indexing.read.formats.versions import reader_of

_LOADERS = {
    "csv": csv.load, "doc_ppt": doc_ppt.load, "docx": docx.load, "eml": eml.load, "epub": epub.load,
    "html": html.load, "ical": ical.load, "msg": msg.load, "odf": odf.load, "pdf": pdf.load, "pptx": pptx.load,
    "rtf": rtf.load, "text": text.load, "xlsx": xlsx.load, "xml": xml.load,
}  # fmt: skip
_STREAMED = {"jsonl": jsonl.load, "mbox": mbox.load}
"""Read record by record: the file may be larger than the memory."""


def load(path: Path, limits: Limits | None = None) -> Iterator[Document]:
    """The document of a file, or one a record. Raises UnreadableError."""
    limits = limits or Limits()
    with _open(path) as stream:
        yield from _documents(stream, str(path), path.name, limits)


def load_bytes(content: bytes, name: str, limits: Limits | None = None, *, source: str = "") -> Iterator[Document]:
    """The documents of an upload. Only the extension and the stem of `name` are used."""
    yield from _documents(io.BytesIO(content), source or name, name, limits or Limits())


def _open(path: Path) -> BinaryIO:
    """Open a regular file; a link that has replaced it is refused."""
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
    if kind is not None and kind.loader in _STREAMED:
        stream.seek(0)
        yield from _records(_STREAMED[kind.loader](stream, limits), source, kind, limits)
        return
    content = head + stream.read(limits.max_bytes + 1 - len(head))
    if len(content) > limits.max_bytes:
        raise UnreadableError(f"too large: more than the limit of {limits.max_bytes:,} bytes")
    kind = kind or sniff.sniff_container(content)
    if kind.loader == "json":
        if jsonl.are_lines(content):
            yield from _records(jsonl.load(io.BytesIO(content), limits), source, sniff.JSONL, limits)
            return
        value = json.parse(content)
        if jsonl.are_records(value):
            yield from _records(jsonl.of_list(value), source, kind, limits)
            return
        extract = json.load(value)
    else:
        extract = _LOADERS[kind.loader](content, kind.media_type, limits)
    if not extract.text.strip():
        raise NoTextError("no text: it holds only pictures or nothing")
    yield _document(extract, source, content, kind, limits)


def _records(
    found: Iterator[tuple[bytes, Extract]], source: str, kind: sniff.Kind, limits: Limits
) -> Iterator[Document]:
    """One document a record with text. A key that was seen before gets the record's number appended."""
    seen: set[str] = set()
    empty = True
    for number, (raw, extract) in enumerate(found, 1):
        key = extract.key if extract.key not in seen else f"{extract.key}~{number}"
        seen.add(key)
        if extract.text:
            empty = False
            yield _document(extract, f"{source}{RECORD}{key}", raw, kind, limits)
    if empty:
        raise NoTextError("empty: its records have no text")


def _document(extract: Extract, source: str, raw: bytes, kind: sniff.Kind, limits: Limits) -> Document:
    require_chars(len(extract.text), limits)
    return Document(
        id=document_id(source),
        source=source,
        title=real_title(extract.title) or title_of(source),
        text=extract.text,
        media_type=kind.media_type,
        metadata=extract.metadata,
        pages=extract.pages,
        content_hash=hashlib.sha256(raw).hexdigest(),
        omitted=extract.omitted,
        reader=reader_of(kind.loader),
    )
