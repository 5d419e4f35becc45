"""Finds the header of a table of cells: below titles and notes, with years or repeated names, in one row or two."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_FIRST = 16
"""Rows among which the header is looked for."""
_SAMPLE = 50
"""Rows by which the usual number of cells, and the values below a header, are judged."""
_FULL = 0.75
"""Share of a usual row's cells that a header has; the rows above it have fewer of the header's."""
_HALF = 0.5
_COUNTED = 3
"""Numbers from 0 or 1 on that are names, as of hours or months, and not values."""
_YEAR = re.compile(r"\(?(?:1[6-9]|20|21)\d\d\)?")

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Header:
    start: int
    """Its first row. The rows above are titles and notes."""
    end: int
    names: list[str]
    """One for each column, "" where it has none; a repeated name is followed by its number."""


def header_of(cells: Sequence[Row]) -> Header | None:
    """The header of rows of the same width, without blank rows; None where the first rows are data."""
    filled = [_filled(row) for row in cells[:_SAMPLE]]
    usual = max(set(filled), key=filled.count)
    fullest = 0
    for at, count in enumerate(filled[:_FIRST]):
        if count >= usual * _FULL and fullest < count * _FULL and _is_header(cells[at:]):
            if _is_second(cells[at:]):
                names = [a if a == b else f"{a} {b}".strip() for a, b in zip(cells[at], cells[at + 1], strict=True)]
                return Header(at, at + 2, distinct(names))
            return Header(at, at + 1, distinct(cells[at]))
        fullest = max(fullest, count)
    return None


def _filled(row: Row) -> int:
    """Its cells with text; a title that spans columns is one."""
    values = [cell for cell in row if cell]
    return 1 if len(set(values)) == 1 else len(values)


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number after each that stood before: Phone, Phone 2."""
    taken = set(names)
    seen: dict[str, int] = {}
    result = []
    for name in names:
        number = seen[name] = seen.get(name, 0) + 1
        new = name
        while name and number > 1 and new in taken:
            new = f"{name} {number}"
            number += 1
        taken.add(new)
        result.append(new)
    return result


def _is_header(cells: Sequence[Row]) -> bool:
    """Whether the first row is a header: mostly filled, with words, or with years that the rows below have not."""
    first, below = cells[0], cells[1:_SAMPLE]
    filled = [cell for cell in first if cell]
    if not below or len(filled) <= len(first) / 2:
        return False
    if repeated := {cell for cell in filled if filled.count(cell) > 1}:
        values = {cell for row in below[1:] or below for cell in row}
        if len(repeated) == len(set(filled)) == 1 or repeated & values:
            return False
    numbers = [i for i, cell in enumerate(first) if _is_number(cell)]
    if not numbers:
        return True
    alike = sum(_are_names([row[i] for i in numbers]) for row in below)
    return _are_names([first[i] for i in numbers]) and alike <= _HALF * len(below)


def _is_second(cells: Sequence[Row]) -> bool:
    """Whether the second row belongs to the header: it names the parts of cells that span columns."""
    if len(cells) <= 2 or not any(a and a == b for a, b in pairwise(cells[0])):  # noqa: PLR2004 (two rows and data)
        return False
    second, third = cells[1], cells[2]
    return not any(map(_is_number, second)) and any(map(_is_number, third)) and all(
        b for a, b, c in zip(cells[0], second, third, strict=True) if _is_number(c) and cells[0].count(a) > 1
    )  # fmt: skip


def _is_number(cell: str) -> bool:
    return cell.strip("-+%$€£ ()").replace(",", "").replace(".", "").isdigit()


def _are_names(numbers: Sequence[str]) -> bool:
    """Whether they are years in order, or count up from 0 or 1."""
    if all(map(_YEAR.fullmatch, numbers)):
        ordered = sorted(numbers)
        return list(numbers) in (ordered, ordered[::-1])
    return len(numbers) >= _COUNTED and list(numbers) in (
        [str(i + first) for i in range(len(numbers))] for first in (0, 1)
    )
