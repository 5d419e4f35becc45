"""DOC and PPT of Office 97-2003, by their published formats: [MS-DOC] piece table, [MS-PPT] text atoms."""

import io
import struct
from collections.abc import Iterator
from typing import Any

import olefile

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Extract, Limits, joined_pages, tidy


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            extract = _presentation(ole, limits) if media_type.endswith("powerpoint") else _word(ole)
            title = _title(ole)
    except (OSError, ValueError, IndexError, struct.error) as exc:
        raise UnreadableError(f"broken file: {one_line(str(exc))}") from exc
    return Extract(extract.text, title, extract.pages)


def _title(ole: Any) -> str:
    try:
        title = ole.get_metadata().title or b""
    except (OSError, ValueError, IndexError, TypeError, AttributeError):
        return ""
    return one_line(tidy(title.decode("cp1252", "replace") if isinstance(title, bytes) else str(title)))


_ENCRYPTED = 0x0100
_TABLE_1 = 0x0200
_WORD_97 = 0xA5EC


def _word(ole: Any) -> Extract:
    """The main text: FIB -> CLX -> pieces, each UTF-16 or one byte a character."""
    stream: bytes = ole.openstream("WordDocument").read()
    (magic,) = struct.unpack_from("<H", stream, 0)
    (flags,) = struct.unpack_from("<H", stream, 0x0A)
    if magic != _WORD_97:
        raise UnreadableError("not indexed: a Word document older than Word 97; save it as DOCX")
    if flags & _ENCRYPTED:
        raise UnreadableError("protected by a password")
    (main_length,) = struct.unpack_from("<i", stream, 0x4C)
    clx_at, clx_length = struct.unpack_from("<II", stream, 0x01A2)
    table: bytes = ole.openstream("1Table" if flags & _TABLE_1 else "0Table").read()
    text = "".join(_pieces(stream, table[clx_at : clx_at + clx_length]))[:main_length]
    return Extract(tidy(_visible_text(text)))


def _pieces(stream: bytes, clx: bytes) -> Iterator[str]:
    at = 0
    while clx[at] == 0x01:  # Prc: formatting, skipped
        at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
    (length,) = struct.unpack_from("<I", clx, at + 1)
    pieces = clx[at + 5 : at + 5 + length]
    count = (length - 4) // 12
    ends = struct.unpack_from(f"<{count + 1}I", pieces, 0)
    for i in range(count):
        (where,) = struct.unpack_from("<I", pieces, 4 * (count + 1) + 8 * i + 2)
        characters = ends[i + 1] - ends[i]
        if where & 0x40000000:
            start = (where & 0x3FFFFFFF) // 2
            yield stream[start : start + characters].decode("cp1252", "replace")
        else:
            yield stream[where : where + 2 * characters].decode("utf-16-le", "replace")


def _visible_text(text: str) -> str:
    """Replace paragraph and cell marks; of a field, keep only the result."""
    kept: list[str] = []
    fields: list[bool] = []  # of each open field, whether its result has begun
    for char in text:
        if char == "\x13":
            fields.append(False)
        elif char == "\x14" and fields:
            fields[-1] = True
        elif char == "\x15" and fields:
            fields.pop()
        elif all(fields):
            kept.append(char)
    plain = "".join(kept).replace("\r", "\n\n").replace("\x07\x07", "\n").replace("\x07", " | ")
    return plain.replace("\x0b", "\n").replace("\x1e", "-")


# SlideListWithTextContainer, SlidePersistAtom, TextHeaderAtom, TextCharsAtom, TextBytesAtom, SlideContainer.
_OUTLINE, _PERSIST, _HEADER, _CHARS, _BYTES, _SLIDE = 4080, 1011, 3999, 4000, 4008, 1006
_SKIPPED_CONTAINERS = frozenset((1008, 1016, 4041))
"""Notes, main master, handout master."""
_CONTAINER = 0xF
_TITLE_KINDS = frozenset((0, 6))


def _presentation(ole: Any, limits: Limits) -> Extract:
    """The text of the outline or of the slides, whichever is longer: newer programs leave text out of the outline."""
    if ole.exists("EncryptedSummary"):
        raise UnreadableError("protected by a password")
    stream: bytes = ole.openstream("PowerPoint Document").read()
    outline = _slides(stream, starts=_PERSIST, inside=_OUTLINE)
    slides = _slides(stream, starts=_SLIDE, inside=_SLIDE)
    pages = max(outline, slides, key=lambda texts: sum(map(len, texts)))
    text, starts = joined_pages(pages, limits)
    return Extract(text, pages=starts)


def _slides(stream: bytes, *, starts: int, inside: int) -> list[str]:
    """The text of each slide: a record of type `starts` begins it, and containers of type `inside` hold its text."""
    slides: list[list[str]] = []
    kind = ends = 0
    for at, name, instance, body in _records(stream):
        if name == inside and (inside != _OUTLINE or instance == 0):
            ends = at + len(body)
        if at >= ends:
            continue
        if name == starts:
            slides.append([])
        elif name == _HEADER and body:
            kind = body[0]
        elif name in (_CHARS, _BYTES) and slides:
            text = tidy(body.decode("utf-16-le" if name == _CHARS else "latin-1", "replace"))
            slides[-1].append(f"## {one_line(text)}" if kind in _TITLE_KINDS and text else text)
    return ["\n\n".join(filter(None, slide)) for slide in slides]


def _records(stream: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(offset of the body, type, instance, body) of all records; a container comes before its contents."""
    at = 0
    while at + 8 <= len(stream):
        version, name, length = struct.unpack_from("<HHI", stream, at)
        at += 8
        yield at, name, version >> 4, stream[at : at + length]
        if version & _CONTAINER != _CONTAINER or name in _SKIPPED_CONTAINERS:
            at += length
