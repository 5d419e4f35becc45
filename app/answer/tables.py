"""Reads the rows of tables in passages by the names of their columns."""

import re
from functools import lru_cache

_ROW = re.compile(r"\s*\|")
_RULE = re.compile(r"[\s|:-]+")
_CELL = re.compile(r"(?<!\\)\|")
_LINE = re.compile(r"^.*\S.*$", re.MULTILINE)
_NAMED = re.compile(r"(?:^|, )([^:|,\n]{1,80}): (.*?)(?=, [^:|,\n]{1,80}: |$)")
_NAMES = re.compile(r"\|.*\n\s*\|[\s|:-]+(?:\n|$)")

Cells = list[tuple[str, str]]
"""(name of the column, "" where it has none; value) of each cell of a row."""


def is_row(line: str) -> bool:
    return bool(_ROW.match(line))


def is_rule(line: str) -> bool:
    """Return True for the line of dashes under the names of a table, and for an empty one."""
    return bool(_RULE.fullmatch(line))


def names_columns(text: str, start: int) -> bool:
    """Return True where the row that starts here has the table's rule under it."""
    return bool(_NAMES.match(text, start))


def cells_of(text: str, heading: str, start: int, end: int) -> Cells:
    """Return the cells of the row text[start:end], named by the table's first row in the text or in the heading."""
    above = text[:start].rstrip("\n").split("\n")
    first = len(above)
    while first and is_row(above[first - 1]):
        first -= 1
    table = [line for line in above[first:] if line.strip()]
    has_names = len(table) > 1 and is_rule(table[1])
    return _named(_split(table[0]) if has_names else _names_in(heading), text[start:end])


def row_said(cells: Cells) -> str:
    """Write a row as "column: value; column: value"."""
    return "; ".join(f"{name}: {value}" if name else value for name, value in cells if value)


@lru_cache(maxsize=256)
def rows(text: str, heading: str) -> tuple[tuple[int, int, Cells], ...]:
    """Return start, end and cells of each row of values; cached, as each claim needs them.

    A row of a long table is a line of its own, "name: value, name: value", beside another with the same names.
    """
    lines = [(*found.span(), found[0]) for found in _LINE.finditer(text)]
    pairs = [_NAMED.findall(line) if not is_row(line) else [] for _, _, line in lines]
    keys = [[name for name, _ in found] for found in pairs]
    names = _names_in(heading)
    found: list[tuple[int, int, Cells]] = []
    for i, (start, end, line) in enumerate(lines):
        if not is_row(line):
            names = _names_in(heading)
            if len(keys[i]) > 1 and keys[i] in keys[max(i - 1, 0) : i] + keys[i + 1 : i + 2]:
                found.append((start, end, pairs[i]))
        elif names_columns(text, start):
            names = _split(line)
        elif not is_rule(line):
            found.append((start, end, _named(names, line)))
    return tuple(found)


def _named(names: list[str], row: str) -> Cells:
    values = _split(row)
    return list(zip(names if len(names) == len(values) else [""] * len(values), values, strict=True))


def _names_in(heading: str) -> list[str]:
    """Return the names at the end of a heading, "caption: name | name", where a chunk goes on with a table."""
    return [name.strip() for name in heading.rpartition(" > ")[2].rpartition(": ")[2].split(" | ")]


def _split(row: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in _CELL.split(row.strip().strip("|"))]
