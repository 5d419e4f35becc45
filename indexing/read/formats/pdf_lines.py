"""The lines of a PDF's page, each with its place."""

import ctypes
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, cast

import pypdfium2.raw as pdfium_c

from indexing.read.formats import superscript
from indexing.read.formats.extract import tidy

_HYPHEN = "\x02"
"""What pdfium writes, or U+FFFE, for a hyphen that divides a word, usually without the line's end."""
_LINE = re.compile(f"([^\\s{_HYPHEN}][^\n{_HYPHEN}]*)({_HYPHEN}?)")
Box = tuple[float, float, float, float]
"""left, bottom, right, top in points."""
_WIDE = 1.2
"""A gap within a line, in multiples of its size, that only columns of a table have."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_SMALL = 1.0
"""Points; a character of less in width and height is not seen. Fonts without measures have 0."""
_SAME_LINE = 0.5
"""A gap between the parts of a line that pdfium broke, as at a footnote's mark, in multiples of its size at most."""


_SMALLER, _HIGHER = 0.85, 0.15
"""Of the line's height: a raised character's height at most, and its distance from the line's lower edge at least."""
_FOOT = 0.28
"""The same distance of its ink, which does not reach to the edge. Looked at first, as it is known of whole parts."""


@dataclass(slots=True)
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


POINTER, INT = ctypes.c_void_p, ctypes.c_int


def direct(function: Any, result: Any = INT) -> Callable[..., Any]:
    """A function of pdfium in half the time, as it converts no arguments: its pointers are each a POINTER or byref."""
    return cast("Callable[..., Any]", ctypes.cast(function, ctypes.PYFUNCTYPE(result)))


_index_of = direct(pdfium_c.FPDFText_GetCharIndexFromTextIndex)
_font_box = direct(pdfium_c.FPDFText_GetLooseCharBox)
_count_rectangles = direct(pdfium_c.FPDFText_CountRects)
_rectangle = direct(pdfium_c.FPDFText_GetRect)


def lines_of(text_page: Any, page_box: Box, omitted: Counter[str]) -> list[Line]:
    """The lines of a page in pdfium's order; those outside of `page_box`, or too small to be seen, are counted."""
    count = pdfium_c.FPDFText_CountChars(text_page)
    buffer = (ctypes.c_ushort * (count + 1))()
    size = 2 * pdfium_c.FPDFText_GetText(text_page, 0, count, buffer) - 2
    text = bytes(buffer)[: max(size, 0)].decode("utf-16-le", "ignore").replace("\ufffe", _HYPHEN)
    is_clean = text.isascii() and text.replace("\r\n", "").replace(_HYPHEN, "").isprintable()
    page = _Page(text_page, page_box, is_whole=len(text) == count, is_clean=is_clean)
    lines: list[Line] = []
    for found in _LINE.finditer(text):
        line = page.line(found[1].rstrip(), found.start(), found[2] != "")
        if line is None:
            omitted["hidden text"] += 1
        elif lines and _same_line(lines[-1], line):
            lines[-1] = _with(lines[-1], line)
        else:
            lines.append(line)
    return lines


def _same_line(one: Line, other: Line) -> bool:
    size = max(one.size, other.size)
    if abs(one.bottom - other.bottom) > 0.6 * size or not (one.size and other.size):
        return False
    return -0.3 * size <= other.left - one.right <= _SAME_LINE * size


def _with(line: Line, rest: Line) -> Line:
    """The line with the part that follows it."""
    space = "" if rest.left - line.right < line.size / 8 or rest.text.startswith((",", ".", ";", ":", ")")) else " "
    text, row = f"{line.text}{space}{rest.text}".strip(), line.row or rest.row
    return replace(line, text=text, right=max(line.right, rest.right), hyphen=rest.hyphen, row=row)


class _Page:
    """Where the characters of a page stand; pdfium writes into the same few numbers for each line."""

    def __init__(self, text_page: Any, box: Box, *, is_whole: bool, is_clean: bool) -> None:
        """`is_whole`: no character is left out of the page's text; `is_clean`: none of its lines needs to be tidied."""
        self._page = ctypes.cast(text_page, POINTER)
        self._bounds = box
        self._is_whole, self._is_clean = is_whole, is_clean
        self._font, self._sides = (ctypes.c_float * 4)(), (ctypes.c_double * 4)()
        self._font_at = ctypes.byref(self._font)
        self._sides_at = [ctypes.byref(self._sides, i * ctypes.sizeof(ctypes.c_double)) for i in range(4)]

    def line(self, raw: str, first: int, hyphen: bool) -> Line | None:
        """The line of a text that begins at the character `first`; None where it is not seen."""
        text = raw if self._is_clean else tidy(raw).rstrip()
        index = first if self._is_whole else _index_of(self._page, first)
        # The loose box is the font's, of the same height for all characters.
        if index < 0 or not _font_box(self._page, index, self._font_at):
            return Line(text, 0.0, hyphen=hyphen)
        left, top, right, bottom = self._font[:]
        if left > right or bottom > top:
            left, bottom, right, top = min(left, right), min(bottom, top), max(left, right), max(bottom, top)
        bounds, height = self._bounds, top - bottom
        if not (left <= bounds[2] and bounds[0] <= right and bottom <= bounds[3] and bounds[1] <= top):
            return None
        if height < _SMALL and 0 < max(right - left, height) < _SMALL:
            return None
        row = raised = False
        if spans := self._spans(index, len(raw)):
            left, right, *_ = spans[0]
            for start, end, foot, head in spans[1:]:
                row = row or start - right > _WIDE * height
                right = max(right, end)
                raised = raised or (foot - bottom > _FOOT * height and head - foot < _SMALLER * height)
        if raised:
            text = tidy(self._spelled(raw, first, bottom, height)).rstrip()
        if not self._is_clean and _RIGHT_TO_LEFT.search(raw):
            left, right = -right, -left
        return Line(text, round(2 * height) / 2, left, right, bottom, hyphen, row)

    def _spans(self, index: int, length: int) -> list[tuple[float, float, float, float]]:
        """(left, right, bottom, top) of each rectangle that a text fills, from left to right."""
        spans, sides = [], self._sides
        for number in range(_count_rectangles(self._page, index, length)):
            _rectangle(self._page, number, *self._sides_at)
            spans.append((sides[0], sides[2], sides[3], sides[1]))
        return sorted(spans) if len(spans) > 1 else spans

    def _spelled(self, text: str, first: int, bottom: float, height: float) -> str:
        """The text of a line with raised parts spelled, as in "10^6"; one that stands apart may be a fraction's."""
        raised = [char.strip() != "" and self._is_raised(first + at, bottom, height) for at, char in enumerate(text)]
        spelled, end = "", 0
        for is_raised, run in groupby(raised):
            start, end = end, end + len(list(run))
            part = text[start:end]
            spelled += superscript.raised(part, spelled, text[end:]) if is_raised and spelled[-1:].strip() else part
        return spelled

    def _is_raised(self, at: int, bottom: float, height: float) -> bool:
        """Whether a character is smaller than those of a line, and stands higher."""
        index = at if self._is_whole else _index_of(self._page, at)
        if index < 0 or not _font_box(self._page, index, self._font_at):
            return False
        _, top, _, foot = self._font[:]
        return top - foot < _SMALLER * height and foot - bottom > _HIGHER * height
