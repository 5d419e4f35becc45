"""The lines of a PDF's page, each with its place."""

import ctypes
import re
from dataclasses import dataclass, replace
from typing import Any

import pypdfium2.raw as pdfium_c

from indexing.read.formats.extract import tidy

Box = tuple[float, float, float, float]
"""left, bottom, right, top in points."""
_WIDE = 1.2
"""A gap within a line, in multiples of its size, that only columns of a table have."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_SAME_LINE = 0.5
"""A gap between the parts of a line that pdfium broke, as at a footnote's mark, in multiples of its size at most."""
_HYPHEN = re.compile("[\ufffe\x02]\r?\n?")
"""What pdfium writes for a hyphen that divides a word at the end of a line, usually without the line's end."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    size: float
    """Height of its first character's font box in points; 0 without one."""
    left: float = 0.0
    """Of its beginning: right to left, both edges are negated and exchanged."""
    right: float = 0.0
    bottom: float = 0.0
    hyphen: bool = False
    """Whether it ends within a word, at a hyphen that is not part of `text`."""
    row: bool = False
    """Whether it has gaps as wide as those between the columns of a table."""
    level: int = 0
    """Of its heading; 0 where it is none."""


def lines_of(text_page: Any, page_box: Box) -> list[Line]:
    """The lines of a page in pdfium's order, without those outside of `page_box`."""
    raw: str = text_page.get_text_range()
    lines: list[Line] = []
    at = 0
    for end, following, hyphen in _ends(raw):
        line = _line(text_page, raw[at:end], at, page_box, hyphen=hyphen)
        if line and lines and _same_line(lines[-1], line):
            lines[-1] = _with(lines[-1], line)
        elif line:
            lines.append(line)
        at = following
    return lines


def _same_line(one: Line, other: Line) -> bool:
    size = max(one.size, other.size)
    beside = -0.3 * size <= other.left - one.right <= _SAME_LINE * size
    return beside and abs(one.bottom - other.bottom) <= 0.6 * size and min(one.size, other.size) > 0


def _with(line: Line, rest: Line) -> Line:
    """The line with the part that follows it."""
    space = "" if rest.left - line.right < line.size / 8 or rest.text.startswith((",", ".", ";", ":", ")")) else " "
    text, row = f"{line.text}{space}{rest.text}", line.row or rest.row
    return replace(line, text=text, right=max(line.right, rest.right), hyphen=rest.hyphen, row=row)


def _ends(raw: str) -> list[tuple[int, int, bool]]:
    """(end of a line, start of the next, whether it ends at a hyphen)."""
    hyphens = [(found.start(), found.end(), True) for found in _HYPHEN.finditer(raw)]
    taken = {end - 1 for _, end, _ in hyphens}
    breaks = [(found.start(), found.end(), False) for found in re.finditer("\n", raw) if found.start() not in taken]
    return [*sorted(hyphens + breaks), (len(raw), len(raw), False)]


def _line(text_page: Any, raw: str, at: int, page_box: Box, *, hyphen: bool) -> Line | None:
    text = raw.strip()
    first = at + len(raw) - len(raw.lstrip())
    index = pdfium_c.FPDFText_GetCharIndexFromTextIndex(text_page, first) if text else -1
    box = _box(text_page, index) if index >= 0 else None
    clean = text if text.isascii() and text.isprintable() else tidy(text)
    if box is None:
        return Line(clean, 0.0, hyphen=hyphen)
    if not (box[0] <= page_box[2] and page_box[0] <= box[2] and box[1] <= page_box[3] and page_box[1] <= box[3]):
        return None
    size = round(2 * (box[3] - box[1])) / 2
    left, right, row = _extent(text_page, index, len(text), box)
    if not text.isascii() and _RIGHT_TO_LEFT.search(text):
        left, right = -right, -left
    return Line(clean, size, left, right, box[1], hyphen, row)


def _box(text_page: Any, index: int) -> Box | None:
    """A character's font box, whose height is the font's."""
    box = pdfium_c.FS_RECTF()
    if not pdfium_c.FPDFText_GetLooseCharBox(text_page, index, ctypes.byref(box)):
        return None
    return (min(box.left, box.right), min(box.bottom, box.top), max(box.left, box.right), max(box.bottom, box.top))


def _extent(text_page: Any, index: int, length: int, first: Box) -> tuple[float, float, bool]:
    """(left, right, whether it has wide gaps) of a line, by the rectangles of its text."""
    spans = []
    sides = [ctypes.c_double() for _ in range(4)]
    for number in range(pdfium_c.FPDFText_CountRects(text_page, index, length)):
        pdfium_c.FPDFText_GetRect(text_page, number, *sides)
        spans.append((sides[0].value, sides[2].value))
    if not spans:
        return first[0], first[2], False
    spans.sort()
    right, wide = spans[0][1], False
    for start, end in spans[1:]:
        wide = wide or start - right > _WIDE * (first[3] - first[1])
        right = max(right, end)
    return spans[0][0], right, wide
