"""Finds the headings of a PDF: the lines that its bookmarks name, else those set larger than the text."""

import ctypes
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

from indexing.document import one_line
from indexing.read.formats.extract import LONG_TITLE

_LARGER = 1.12
"""A heading's size at least, as a multiple of the text's."""
_TEXT_SHARE = 0.1
"""Share of the characters; the largest size with at least as many is the text's."""
_MAX_HEADINGS = 0.15
"""Share of the lines; with more large lines, as in slides, forms and posters, size does not tell headings."""
_RUNNING = 0.2
"""Share of the pages; a large line that is repeated on more of them is a running title."""
_MAX_CHARS = 120
_LEVELS = 4
_HEADING = re.compile(r"(?![•·●▪◦‣*{\u2013-])(?=.*[^\W\d_]{2})[^@]{3,}[^@.,;:]")
"""No list item, no e-mail address, no sentence."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    size: float
    """Height of its first character's font box in points; 0 without one."""


def lines_of(text_page: Any, page_box: tuple[float, float, float, float]) -> list[Line]:
    """The lines of a page in pdfium's order, without those outside of `page_box` (left, bottom, right, top)."""
    raw: str = text_page.get_text_range()
    lines = []
    at = 0
    for text in raw.split("\n"):
        box = _box(text_page, at + len(text) - len(text.lstrip())) if text.strip() else None
        if box is None:
            lines.append(Line(text.rstrip("\r"), 0.0))
        elif _overlap(box, page_box):
            lines.append(Line(text.rstrip("\r"), round(2 * (box[3] - box[1])) / 2))
        at += len(text) + 1
    return lines


def _box(text_page: Any, text_index: int) -> tuple[float, float, float, float] | None:
    """(left, bottom, right, top) in points of a character's font box, whose height is the font's."""
    box = pdfium_c.FS_RECTF()
    index = pdfium_c.FPDFText_GetCharIndexFromTextIndex(text_page, text_index)
    if index < 0 or not pdfium_c.FPDFText_GetLooseCharBox(text_page, index, ctypes.byref(box)):
        return None
    return (min(box.left, box.right), min(box.bottom, box.top), max(box.left, box.right), max(box.bottom, box.top))


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


@dataclass(frozen=True, slots=True)
class Levels:
    """Which lines are headings, and of which level."""

    sizes: Mapping[float, int]
    running: frozenset[str]
    """Running titles, which are no headings."""

    def of(self, line: Line) -> int:
        """The level of a line's heading; 0 where it is none."""
        return self.sizes.get(line.size, 0) if is_heading(line.text) and line.text not in self.running else 0


NO_LEVELS = Levels({}, frozenset())


def levels_by_size(pages: Sequence[Sequence[Line]]) -> Levels:
    characters: Counter[float] = Counter()
    for page in pages:
        for line in page:
            characters[line.size] += len(line.text)
    usual = max((size for size, n in characters.items() if n >= _TEXT_SHARE * characters.total()), default=0.0)
    large = [[line for line in page if line.size >= _LARGER * usual > 0 and is_heading(line.text)] for page in pages]
    running = _running(large)
    found = [line for page in large for line in page if line.text not in running]
    lines = sum(bool(line.text.strip()) for page in pages for line in page)
    if len(found) > max(_MAX_HEADINGS * lines, 1):
        return Levels({}, running)
    sizes = sorted({line.size for line in found}, reverse=True)
    return Levels({size: min(level, _LEVELS) for level, size in enumerate(sizes, 1)}, running)


def _running(large: Sequence[Sequence[Line]]) -> frozenset[str]:
    pages = Counter(text for page in large for text in {line.text for line in page})
    return frozenset(text for text, count in pages.items() if count > max(_RUNNING * len(large), 2))


def is_heading(text: str) -> bool:
    return len(text) <= _MAX_CHARS and bool(_HEADING.fullmatch(text.strip()))


def mark_by_size(page: Sequence[Line], levels: Levels) -> str:
    """The page's text with headings as Markdown; consecutive lines of one level are one heading."""
    out: list[str] = []
    open_level = 0
    for line in page:
        level = levels.of(line)
        if level and level == open_level and len(out[-1]) + len(line.text) < _MAX_CHARS:
            out[-1] += " " + one_line(line.text)
        elif level:
            out += ["", f"{'#' * level} {one_line(line.text)}"]
        else:
            out += ["", line.text] if open_level else [line.text]
        open_level = level
    return "\n".join(out)


def mark_by_bookmarks(pages: Sequence[str], bookmarks: Sequence[tuple[int, int, str]]) -> list[str]:
    """Make headings of the lines that a bookmark (page, level, title) names on its page."""
    pages = list(pages)
    for page, level, title in bookmarks:
        if page >= len(pages) or len(title) > LONG_TITLE:
            continue
        # The text may number a title that the bookmark does not number, and break it over two lines.
        words = r"\s+".join(map(re.escape, title.split()))
        line = re.compile(rf"^(?!#)((?:[\dA-Z][\d.]*\s+)?{words})[ \t]*$", re.MULTILINE | re.IGNORECASE)
        heading = "#" * min(level + 1, 6)
        pages[page] = line.sub(lambda m, h=heading: f"\n{h} {one_line(m[1])}\n", pages[page], count=1)  # type: ignore[misc]
    return [page.strip("\n") for page in pages]
