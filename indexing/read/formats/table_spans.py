"""Writes out the cells of a table that span rows and columns, so that each row is whole."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_COPIES = 20
"""For each cell of the table at most; with more, spans count as 1, so that hostile ones cost nothing."""


class Cell(NamedTuple, Generic[T]):
    value: T
    rows: int = 1
    """Rows that are not there do not count."""
    columns: int = 1
    """Columns in which no cell begins do not count."""
    at: int | None = None
    """Its column, where the format tells it; else the next that is free."""


def whole_rows(rows: Sequence[Sequence[Cell[T]]]) -> list[list[T | None]]:
    """The value of each cell in all rows and columns that it spans, None where there is no cell between others.

    The only cell of a row is a title: its value stands in the first column alone.
    """
    cells = sum(map(len, rows))
    copies = _COPIES * cells
    begun: set[int] = set()
    below: dict[int, Cell[T]] = {}
    grid: list[dict[int, Cell[T]]] = []
    for row in rows:
        line, below = below, {}
        copies -= len(begun) if line else 0
        column, is_title = 0, len(row) == 1 and not line
        for cell in row:
            column = column if cell.at is None else cell.at
            while column in line:
                column += 1
            begun.add(column)
            across = 1 if is_title or copies <= 0 else min(cell.columns, cells)
            for at in range(column, column + across):
                if at in line:
                    break
                line[at] = cell
                copies -= 1
            column += 1
        for at, cell in line.items():
            if cell.rows > 1 and copies > 0:
                below[at] = cell._replace(rows=cell.rows - 1)
        grid.append(line)
    columns = sorted(begun)
    return [
        [line[at].value if at in line else None for at in columns[: bisect_right(columns, max(line, default=-1))]]
        for line in grid
    ]


def spanned(number: str | None) -> int:
    """The rows or columns of an attribute such as HTML's rowspan; 1 where it says nothing that makes sense."""
    text = (number or "").strip()
    return max(1, int(text[:9])) if text.isascii() and text.isdigit() else 1
