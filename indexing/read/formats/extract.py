"""What a loader returns, its limits, and the clean-up of every text."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from indexing.document import Scalar, one_line
from indexing.errors import UnreadableError


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one file. The pool (indexing.read.pool) limits the time and memory of the process."""

    max_bytes: int = 256 * 2**20
    max_chars: int = 20_000_000
    max_pages: int = 10_000
    max_part_bytes: int = 100 * 2**20
    """Unpacked size of one markup part of an archive, such as word/document.xml."""
    max_record_bytes: int = 16 * 2**20
    """Of one line of JSONL."""
    scan_models: str = ""
    """Folder of docling's models, which read scans; empty: scans are refused."""


@dataclass(frozen=True, slots=True)
class Extract:
    """The text of one source, as Markdown where the format has structure."""

    text: str
    title: str = ""
    pages: tuple[int, ...] = ()
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    key: str = ""
    """Identifies a record in its file; "" for a whole file."""
    omitted: tuple[str, ...] = ()
    """What the source holds and the text does not, such as "2 charts"."""


def counted(omitted: Counter[str]) -> tuple[str, ...]:
    """What was not read, as `Extract.omitted` has it: "2 charts"."""
    return tuple(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in sorted((+omitted).items()))


LONG_TITLE = 300
"""Characters; a longer title is taken for a paragraph."""

_FORMS = [*range(0x2E80, 0x2FE0), *range(0xFB00, 0xFE00), *range(0xFE10, 0xFE1A), *range(0xFE70, 0xFEFD)]
"""Radicals, and the presentation forms of letters: glyphs, which programs write in the place of characters."""
_LETTERS = {code: plain for code in _FORMS if not (plain := unicodedata.normalize("NFKC", chr(code))).startswith(" ")}
_TAGS = range(0xE0000, 0xE0080)
"""Invisible characters in which a whole text can be written."""
_INVISIBLE = (0xAD, 0x200B, *range(0x2060, 0x2065), 0xFEFF, 0xFFFE, 0xFFFF, *_TAGS)
_DROPPED = dict.fromkeys((*range(9), 0x0B, *range(0x0E, 0x20), 0x7F, *_INVISIBLE))
_CLEAN = str.maketrans({**_LETTERS, **_DROPPED, 0x0C: "\n", 0x85: "\n", 0x2028: "\n", 0x2029: "\n\n", 0xA0: " "})
_UNCLEAN = re.compile(f"[{re.escape(''.join(chr(code) for code in _CLEAN if code < _TAGS[0]))}]")
_TAG = re.compile(f"[{chr(_TAGS[0])}-{chr(_TAGS[-1])}]")
"""Looked for first: `translate` takes 16 times as long where a text is not ASCII; apart, as one set would be slow."""


def tidy(text: str) -> str:
    """NFC, Unix line ends; no control characters, lone surrogates, trailing blanks or consecutive blank lines."""
    if text.isascii() and text.isprintable():
        return text.rstrip(" ")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() or _UNCLEAN.search(text) or _TAG.search(text):
        text = text.translate(_CLEAN)
    text = unicodedata.normalize("NFC", text)
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return (re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text).strip("\n")


_NO_TITLE = re.compile(
    r"\W*|\(?(untitled|anonymous|unspecified|unknown|no title|document|slide|page|title|powerpoint presentation|"
    r"title slide|presentation|sheet|microsoft (word|powerpoint|excel)\b.*)( document)?[ )]*\d*|"
    r".*\.(docx?|pptx?|xlsx?|od[tps]|tex|dvi|indd|pdf|qxd|p65|ps|rtf|txt|html?)",
    re.IGNORECASE,
)


def real_title(title: str | None) -> str:
    """The title on one line; "" for placeholders and file names that programs write into title fields."""
    title = one_line(tidy(title or ""))
    return "" if len(title) > LONG_TITLE or _NO_TITLE.fullmatch(title) else title


def joined_pages(pages: list[str], limits: Limits) -> tuple[str, tuple[int, ...]]:
    """The text of all pages, and the offset where each starts. Raises UnreadableError past max_chars."""
    starts: list[int] = []
    length = 0
    for page in pages:
        starts.append(length)
        length += len(page) + 2
    require_chars(length, limits)
    return "\n\n".join(pages), tuple(starts)


def require_chars(length: int, limits: Limits) -> None:
    if length > limits.max_chars:
        raise UnreadableError(f"too large: {length:,} characters of text, more than the limit of {limits.max_chars:,}")
