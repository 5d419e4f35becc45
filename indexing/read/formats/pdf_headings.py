"""Headings of a PDF, which has none by name: lines that its bookmarks name, else those set larger than the text."""

import ctypes
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

from indexing.read.formats.extract import LONG_TITLE, one_line

_LARGER = 1.12
"""Times the size of the text: a heading."""
_TEXT_SHARE = 0.1
"""Of the characters; the largest size with so many is taken for the text's."""
_MOST_LINES = 0.15
"""Share of lines past which large lines are no headings: slides, forms, posters."""
_RUNNING = 0.2
"""Share of the pages; a title on more of them is a running one."""
_LONGEST = 120
_LEVELS = 4
_HEADING = re.compile(r"(?![•·●▪◦‣*{\u2013-])(?=.*[^\W\d_]{2})[^@]{3,}[^@.,;:]")
"""No list's item, no address of an author, no sentence."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    size: float
    """Height of its first character's font box in points; 0 where it has none."""


def lines_of(text_page: Any, page_box: tuple[float, float, float, float]) -> list[Line]:
    """The lines of a page as pdfium orders them, without those that lie outside of it (left, bottom, right, top)."""
    raw: str = text_page.get_text_range()
    lines = []
    at = 0
    for text in raw.split("\n"):
        box = _box(text_page, at + len(text) - len(text.lstrip())) if text.strip() else None
        if box is None:
            lines.append(Line(text.rstrip("\r"), 0.0))
        elif _meet(box, page_box):
            lines.append(Line(text.rstrip("\r"), round(2 * (box[3] - box[1])) / 2))
        at += len(text) + 1
    return lines


def _box(text_page: Any, text_index: int) -> tuple[float, float, float, float] | None:
    """Of a character's font, which says its size: (left, bottom, right, top) in points."""
    box = pdfium_c.FS_RECTF()
    index = pdfium_c.FPDFText_GetCharIndexFromTextIndex(text_page, text_index)
    if index < 0 or not pdfium_c.FPDFText_GetLooseCharBox(text_page, index, ctypes.byref(box)):
        return None
    return (min(box.left, box.right), min(box.bottom, box.top), max(box.left, box.right), max(box.bottom, box.top))


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


@dataclass(frozen=True, slots=True)
class Levels:
    """Which lines are headings, and of which level."""

    sizes: Mapping[float, int]
    running: frozenset[str]
    """Titles that stand on page after page: where the document is, they do not say."""

    def of(self, line: Line) -> int:
        """0: no heading."""
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
    if len(found) > max(_MOST_LINES * lines, 1):
        return Levels({}, running)
    sizes = sorted({line.size for line in found}, reverse=True)
    return Levels({size: min(level, _LEVELS) for level, size in enumerate(sizes, 1)}, running)


def _running(large: Sequence[Sequence[Line]]) -> frozenset[str]:
    pages = Counter(text for page in large for text in {line.text for line in page})
    return frozenset(text for text, count in pages.items() if count > max(_RUNNING * len(large), 2))


def is_heading(text: str) -> bool:
    return len(text) <= _LONGEST and bool(_HEADING.fullmatch(text.strip()))


def marked(page: Sequence[Line], levels: Levels) -> str:
    """The page's text with headings as Markdown; lines of one size that follow each other are one heading."""
    out: list[str] = []
    open_level = 0
    for line in page:
        level = levels.of(line)
        if level and level == open_level and len(out[-1]) + len(line.text) < _LONGEST:
            out[-1] += " " + one_line(line.text)
        elif level:
            out += ["", f"{'#' * level} {one_line(line.text)}"]
        else:
            out += ["", line.text] if open_level else [line.text]
        open_level = level
    return "\n".join(out)


def named(pages: Sequence[str], bookmarks: Sequence[tuple[int, int, str]]) -> list[str]:
    """Lines that a bookmark (page, level, title) names become headings; one that is not on its page is left out."""
    pages = list(pages)
    for page, level, title in bookmarks:
        if page >= len(pages) or len(title) > LONG_TITLE:
            continue
        # A number before the title may be in the text only; a title may run over two lines.
        words = r"\s+".join(map(re.escape, title.split()))
        line = re.compile(rf"^(?!#)((?:[\dA-Z][\d.]*\s+)?{words})[ \t]*$", re.MULTILINE | re.IGNORECASE)
        heading = "#" * min(level + 1, 6)
        pages[page] = line.sub(lambda m, h=heading: f"\n{h} {one_line(m[1])}\n", pages[page], count=1)  # type: ignore[misc]
    return [page.strip("\n") for page in pages]
