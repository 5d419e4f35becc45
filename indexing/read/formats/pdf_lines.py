"""The lines of a PDF's page, each with its place."""

import ctypes
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, cast

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


def direct(function: Any, *kinds: Any) -> Callable[..., Any]:
    """A function of pdfium that takes addresses for pointers, in half the time. `kinds`: its result and arguments."""
    return cast("Callable[..., Any]", ctypes.cast(function, ctypes.PYFUNCTYPE(*kinds)))


POINTER, INT = ctypes.c_void_p, ctypes.c_int
_index_of = direct(pdfium_c.FPDFText_GetCharIndexFromTextIndex, INT, POINTER, INT)
_font_box = direct(pdfium_c.FPDFText_GetLooseCharBox, INT, POINTER, INT, POINTER)
_count_rectangles = direct(pdfium_c.FPDFText_CountRects, INT, POINTER, INT, INT)
_rectangle = direct(pdfium_c.FPDFText_GetRect, INT, POINTER, INT, *[POINTER] * 4)


def lines_of(text_page: Any, page_box: Box, omitted: Counter[str]) -> list[Line]:
    """The lines of a page in pdfium's order; those outside of `page_box`, or too small to be seen, are counted."""
    page = _Page(text_page, page_box)
    lines: list[Line] = []
    at = 0
    # pdfium writes U+FFFE or U+0002 for a hyphen that divides a word, usually without the line's end.
    for raw in text_page.get_text_range().replace("\ufffe", "\x02").split("\n"):
        pieces = raw.split("\x02")
        for number, piece in enumerate(pieces, 1):
            if text := piece.strip():
                line = page.line(text, at + piece.index(text[0]), number < len(pieces))
                if line is None:
                    omitted["hidden text"] += 1
                elif lines and _same_line(lines[-1], line):
                    lines[-1] = _with(lines[-1], line)
                else:
                    lines.append(line)
            at += len(piece) + 1
    return lines


def _same_line(one: Line, other: Line) -> bool:
    size = max(other.size, one.size)
    if abs(one.bottom - other.bottom) > 0.6 * size or not (one.size and other.size):
        return False
    return -0.3 * size <= other.left - one.right <= _SAME_LINE * size


def _with(line: Line, rest: Line) -> Line:
    """The line with the part that follows it."""
    space = "" if rest.left - line.right < line.size / 8 or rest.text.startswith((",", ".", ";", ":", ")")) else " "
    text, row = f"{line.text}{space}{rest.text}", line.row or rest.row
    return line._replace(text=text, right=max(line.right, rest.right), hyphen=rest.hyphen, row=row)


class _Page:
    """Where the characters of a page stand; pdfium writes into the same few numbers for each line."""

    def __init__(self, text_page: Any, box: Box) -> None:
        self._page = ctypes.cast(text_page.raw, POINTER).value
        self._bounds = box
        self._box = pdfium_c.FS_RECTF()
        self._sides = (ctypes.c_double * 4)()
        self._box_at, first = ctypes.addressof(self._box), ctypes.addressof(self._sides)
        self._sides_at = [first + i * ctypes.sizeof(ctypes.c_double) for i in range(4)]

    def line(self, text: str, first: int, hyphen: bool) -> Line | None:
        """The line of a text that begins at the character `first`; None where it is not seen."""
        index = _index_of(self._page, first)
        # The loose box is the font's, of the same height for all characters.
        if index < 0 or not _font_box(self._page, index, self._box_at):
            return Line(tidy(text), 0.0, hyphen=hyphen)
        box, bounds = self._box, self._bounds
        left, right = (box.left, box.right) if box.left <= box.right else (box.right, box.left)
        bottom, top = (box.bottom, box.top) if box.bottom <= box.top else (box.top, box.bottom)
        if not (left <= bounds[2] and bounds[0] <= right and bottom <= bounds[3] and bounds[1] <= top):
            return None
        height = top - bottom
        if height < _SMALL and 0 < max(right - left, height) < _SMALL:
            return None
        row = False
        if spans := self._spans(index, len(text)):
            left, right = spans[0]
            for start, end in spans[1:]:
                row = row or start - right > _WIDE * height
                right = max(right, end)
        if not text.isascii() and _RIGHT_TO_LEFT.search(text):
            left, right = -right, -left
        return Line(tidy(text), round(2 * height) / 2, left, right, bottom, hyphen, row)

    def _spans(self, index: int, length: int) -> list[tuple[float, float]]:
        """(left, right) of each rectangle that a text fills, from left to right."""
        spans = []
        for number in range(_count_rectangles(self._page, index, length)):
            _rectangle(self._page, number, *self._sides_at)
            spans.append((self._sides[0], self._sides[2]))
        return sorted(spans)
