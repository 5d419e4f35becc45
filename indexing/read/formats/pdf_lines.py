"""The lines of a PDF's page, each with its place."""

import ctypes
import re
from collections import Counter
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from indexing.read.formats.extract import tidy

Box = tuple[float, float, float, float]
"""left, bottom, right, top in points."""
_WIDE = 1.2
"""A gap within a line, in multiples of its size, that only columns of a table have."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_SMALL = 1.0
"""Points; a character of less in width and height is not seen. Fonts without measures have 0."""
_SAME_LINE = 0.5
"""A gap between the parts of a line that pdfium broke, as at a footnote's mark, in multiples of its size at most."""
_END = re.compile("[\ufffe\x02]\r?\n?|\n|\\Z")
"""Of a line; U+FFFE and U+0002 are pdfium's hyphen that divides a word, usually without the line's end."""


class Line(NamedTuple):
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


def lines_of(text_page: Any, page_box: Box, omitted: Counter[str]) -> list[Line]:
    """The lines of a page in pdfium's order; those outside of `page_box`, or too small to be seen, are counted."""
    raw: str = text_page.get_text_range()
    page = _Page(text_page.raw, page_box)
    lines: list[Line] = []
    at = 0
    for end in _END.finditer(raw):
        found = raw[at : end.start()]
        if text := found.strip():
            line = page.line(text, at + found.index(text[0]), hyphen=end[0] not in ("", "\n"))
            if line and lines and _same_line(lines[-1], line):
                lines[-1] = _with(lines[-1], line)
            elif line:
                lines.append(line)
            else:
                omitted["hidden text"] += 1
        at = end.end()
    return lines


def _same_line(one: Line, other: Line) -> bool:
    size = max(one.size, other.size)
    beside = -0.3 * size <= other.left - one.right <= _SAME_LINE * size
    return beside and abs(one.bottom - other.bottom) <= 0.6 * size and min(one.size, other.size) > 0


def _with(line: Line, rest: Line) -> Line:
    """The line with the part that follows it."""
    space = "" if rest.left - line.right < line.size / 8 or rest.text.startswith((",", ".", ";", ":", ")")) else " "
    text, row = f"{line.text}{space}{rest.text}", line.row or rest.row
    return line._replace(text=text, right=max(line.right, rest.right), hyphen=rest.hyphen, row=row)


class _Page:
    """Where the characters of a page stand; pdfium writes into the same few numbers for each line."""

    def __init__(self, text_page: Any, box: Box) -> None:
        self._page = text_page
        self._bounds = box
        self._box = pdfium_c.FS_RECTF()
        self._sides = [ctypes.c_double() for _ in range(4)]

    def line(self, text: str, first: int, *, hyphen: bool) -> Line | None:
        """The line of a text that begins at the character `first`; None where it is not seen."""
        clean = tidy(text)
        index, box = pdfium_c.FPDFText_GetCharIndexFromTextIndex(self._page, first), self._box
        # The loose box is the font's, of the same height for all characters.
        if index < 0 or not pdfium_c.FPDFText_GetLooseCharBox(self._page, index, box):
            return Line(clean, 0.0, hyphen=hyphen)
        left, right = (box.left, box.right) if box.left <= box.right else (box.right, box.left)
        bottom, top = (box.bottom, box.top) if box.bottom <= box.top else (box.top, box.bottom)
        bounds = self._bounds
        if not (left <= bounds[2] and bounds[0] <= right and bottom <= bounds[3] and bounds[1] <= top):
            return None
        if 0 < max(right - left, top - bottom) < _SMALL:
            return None
        spans = self._spans(index, len(text)) or [(left, right)]
        (left, right), row = spans[0], False
        for start, end in spans[1:]:
            row = row or start - right > _WIDE * (top - bottom)
            right = max(right, end)
        if not text.isascii() and _RIGHT_TO_LEFT.search(text):
            left, right = -right, -left
        return Line(clean, round(2 * (top - bottom)) / 2, left, right, bottom, hyphen, row)

    def _spans(self, index: int, length: int) -> list[tuple[float, float]]:
        """(left, right) of each rectangle that a text fills, from left to right."""
        spans = []
        for number in range(pdfium_c.FPDFText_CountRects(self._page, index, length)):
            pdfium_c.FPDFText_GetRect(self._page, number, *self._sides)
            spans.append((self._sides[0].value, self._sides[2].value))
        return sorted(spans)
