"""Finds the tables of a Markdown text, so that each chunk of one can carry its columns and its caption."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from indexing.document import one_line

_FENCE = re.compile(r"[ \t]*(`{3,}(?=[^`]*$)|~{3,})")
_CAPTION_CHARS = 200
"""A longer paragraph above a table gives its last sentence."""


@dataclass(frozen=True, slots=True)
class Table:
    start: int
    body: int
    """Where the first row below the header begins."""
    end: int
    caption: str
    """The line or sentence above the table, "" after a heading."""
    columns: str
    """The names of the columns: "Name | Year"."""

    def label(self, start: int, size: int) -> str:
        """What a chunk that begins at `start` lacks: caption and columns, in at most `size` bytes of UTF-8."""
        columns = _cut(self.columns, size) if start >= self.body else ""
        caption = _cut(self.caption, size - len(columns.encode()))
        return ": ".join(part for part in (caption.rstrip(".:"), columns) if part)


class Tables:
    def __init__(self, text: str) -> None:
        self._tables = list(_find(text))
        self._starts = [table.start for table in self._tables]

    def at(self, offset: int) -> Table | None:
        """The table that holds this offset."""
        index = bisect_right(self._starts, offset) - 1
        return self._tables[index] if index >= 0 and offset < self._tables[index].end else None

    def between(self, start: int, end: int) -> Iterator[Table]:
        """The tables that have a part from start to end."""
        for table in self._tables[max(bisect_right(self._starts, start) - 1, 0) :]:
            if table.start >= end:
                return
            if table.end > start:
                yield table


def _find(text: str) -> Iterator[Table]:
    """Tables as GitHub's Markdown has them: a header, a row of dashes with as many cells, rows up to a blank line."""
    lines = text.split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    fence = ""
    at = 0
    while at < len(lines):
        if found := _FENCE.match(lines[at]):
            fence = "" if fence and found[1].startswith(fence) else fence or found[1]
        elif not fence and at + 1 < len(lines) and _is_head(lines[at], lines[at + 1]):
            last = at + 2
            while last < len(lines) and "|" in lines[last] and not _FENCE.match(lines[last]):
                last += 1
            ends = min(offsets[last], len(text))
            columns = " | ".join(_cells(lines[at])).strip(" |")
            yield Table(offsets[at], min(offsets[at + 2], ends), ends, _caption(lines, at), columns)
            at = last - 1
        at += 1


def _is_head(line: str, below: str) -> bool:
    return (
        "|" in line and "|" in below and "-" in below and not below.strip("|-: \t")
        and len(_cells(line)) == len(_cells(below))
    )  # fmt: skip


def _cells(row: str) -> list[str]:
    row = row.strip().removeprefix("|")
    row = row.removesuffix("|") if not row.endswith("\\|") else row
    return [one_line(cell.replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", row)]


def _caption(lines: list[str], at: int) -> str:
    """The last line of text above the table, with at most two blank lines between."""
    above = next((line.strip() for line in reversed(lines[max(at - 3, 0) : at]) if line.strip()), "")
    if above.startswith(("#", "|", "```", "~~~")):
        return ""
    above = one_line(re.sub(r"[*_`]", "", above))
    return above if len(above) <= _CAPTION_CHARS else re.split(r"(?<=[.!?。]) ?", above.rstrip(".!?。 "))[-1]


def _cut(text: str, size: int) -> str:
    """The text in at most `size` bytes, with " …" where it was cut."""
    if len(text.encode()) <= size:
        return text
    kept = text.encode()[: max(size - 4, 0)].decode("utf-8", "ignore").rpartition(" ")[0]
    return f"{kept} …" if kept else ""
