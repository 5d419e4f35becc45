"""Finds the headings of a PDF: the lines that its bookmarks name, else those set larger than the text."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from indexing.document import one_line
from indexing.read.formats.extract import LONG_TITLE
from indexing.read.formats.pdf_lines import Line

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
class Levels:
    """Which lines are headings, and of which level."""

    sizes: Mapping[float, int]
    running: frozenset[str]
    """Running titles, which are no headings."""

    def of(self, line: Line) -> int:
        """The level of a line's heading; 0 where it is none."""
        level = self.sizes.get(line.size, 0)
        return level if level and is_heading(line.text) and line.text not in self.running else 0


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


def mark_by_size(page: Sequence[Line], levels: Levels) -> list[Line]:
    """The lines with the levels of headings; consecutive lines of one level are one heading."""
    out: list[Line] = []
    for line in page:
        level = levels.of(line)
        if level and out and level == out[-1].level and len(out[-1].text) + len(line.text) < _MAX_CHARS:
            out[-1] = _with(out[-1], line, level)
        else:
            out.append(replace(line, level=level) if level else line)
    return out


def _with(line: Line, following: Line, level: int) -> Line:
    text = one_line(f"{line.text}{'-' if line.hyphen else ' '}{following.text}")
    return replace(line, text=text, level=level, hyphen=following.hyphen)


_BOOKMARK_LINES = 4
_NUMBER = re.compile(r"[\dA-Z][\d.]*\s+")


def mark_by_bookmarks(pages: Sequence[list[Line]], bookmarks: Sequence[tuple[int, int, str]]) -> None:
    """Make headings of the lines that a bookmark (page, level, title) names on its page."""
    for page, level, title in bookmarks:
        if page < len(pages) and len(title) <= LONG_TITLE and (found := _named(pages[page], title.casefold())):
            start, end = found
            heading = pages[page][start]
            for line in pages[page][start + 1 : end]:
                heading = _with(heading, line, 0)
            pages[page][start:end] = [replace(heading, level=min(level + 1, 6))]


def _named(lines: Sequence[Line], title: str) -> tuple[int, int] | None:
    """The first lines with this title; the text may number it where the bookmark does not, and break it."""
    for start, line in enumerate(lines):
        text = ""
        for end in range(start, min(start + _BOOKMARK_LINES, len(lines)) if not line.level else start):
            text = f"{text} {one_line(lines[end].text)}".strip().casefold()
            number = _NUMBER.match(text.upper())
            if title in (text, text[number.end() :] if number else text):
                return start, end + 1
            if len(text) > len(title) + 20 or text[:4] not in (title[:4], text[:4] if number else ""):
                break
    return None
