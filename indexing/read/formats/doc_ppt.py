"""DOC and PPT of Office 97-2003, by their published formats: [MS-DOC] piece table, [MS-PPT] text atoms."""

import io
import struct
from collections.abc import Iterator
from typing import Any

import olefile

from indexing.errors import UnreadableError
from indexing.read.formats.extract import Extract, Limits, joined_pages, one_line, require_chars, tidy


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            extract = _presentation(ole, limits) if media_type.endswith("powerpoint") else _word(ole)
            title = _title(ole)
    except (OSError, ValueError, IndexError, struct.error) as exc:
        raise UnreadableError(f"broken file: {one_line(str(exc))}") from exc
    if not extract.text.strip():
        raise UnreadableError("no text: it holds only pictures or nothing")
    require_chars(len(extract.text), limits)
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
    return Extract(tidy(_plain(text)))


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


def _plain(text: str) -> str:
    """Paragraph marks, cell marks and fields as plain text: of a field only its result is kept."""
    kept: list[str] = []
    depth: list[bool] = []  # one entry an open field: are we past its separator?
    for char in text:
        if char == "\x13":
            depth.append(False)
        elif char == "\x14" and depth:
            depth[-1] = True
        elif char == "\x15" and depth:
            depth.pop()
        elif all(depth):
            kept.append(char)
    plain = "".join(kept).replace("\r", "\n\n").replace("\x07\x07", "\n").replace("\x07", " | ")
    return plain.replace("\x0b", "\n").replace("\x1e", "-")


# SlideListWithTextContainer, SlidePersistAtom, TextHeaderAtom, TextCharsAtom, TextBytesAtom, SlideContainer.
_OUTLINE, _PERSIST, _HEADER, _CHARS, _BYTES, _SLIDE = 4080, 1011, 3999, 4000, 4008, 1006
_CONTAINERS_ASIDE = frozenset((1008, 1016, 4041))
"""Notes, main master, and the handout's master."""
_CONTAINER = 0xF
_TITLE_KINDS = frozenset((0, 6))


def _presentation(ole: Any, limits: Limits) -> Extract:
    """The outline lists each slide's text; what newer programs leave out of it stands in the slides themselves."""
    if ole.exists("EncryptedSummary"):
        raise UnreadableError("protected by a password")
    stream: bytes = ole.openstream("PowerPoint Document").read()
    outlined = _slides(stream, starts=_PERSIST, inside=_OUTLINE)
    drawn = _slides(stream, starts=_SLIDE, inside=_SLIDE)
    pages = max(outlined, drawn, key=lambda slides: sum(map(len, slides)))
    text, starts = joined_pages(pages, limits)
    return Extract(text, pages=starts)


def _slides(stream: bytes, *, starts: int, inside: int) -> list[str]:
    """Texts between records of type `starts`, only within containers of type `inside`."""
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
            said = tidy(body.decode("utf-16-le" if name == _CHARS else "latin-1", "replace"))
            slides[-1].append(f"## {one_line(said)}" if kind in _TITLE_KINDS and said else said)
    return ["\n\n".join(filter(None, slide)) for slide in slides]


def _records(stream: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(offset of the body, type, instance, body) of all records; a container is given before what it holds."""
    at = 0
    while at + 8 <= len(stream):
        version, name, length = struct.unpack_from("<HHI", stream, at)
        at += 8
        yield at, name, version >> 4, stream[at : at + length]
        if version & _CONTAINER != _CONTAINER or name in _CONTAINERS_ASIDE:
            at += length
