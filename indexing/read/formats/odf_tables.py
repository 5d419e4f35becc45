"""Tables of OpenDocument: merged cells in each row that they cover, without repeated empty rows and columns."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from copy import copy
from itertools import accumulate

from lxml import etree

from indexing.read.formats.markup import Package, local_name, own_rows, parse_xml
from indexing.read.formats.table_spans import Cell, spanned, whole_rows

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_ROWS, _COLUMNS = f"{_TABLE}number-rows-repeated", f"{_TABLE}number-columns-repeated"
_MOST_REPEATED = 64
"""Cells or rows with the same text, one after the other."""
_TO_REWRITE = (
    re.compile(rb'-spanned="(?!1")'),
    re.compile(rb'columns-repeated="\d{3,9}"[^<>]{0,500}>\s{0,99}<\w{1,40}:(?:table-cell|p)\b'),
    re.compile(
        rb'rows-repeated="\d{3,9}"[^<>]{0,500}>(?:\s{0,99}</?\w{1,40}:table-(?:cell|row)[^<>]{0,500}>){0,99}+'
        rb"(?!\s{0,99}</\w{1,40}:table>)"
    ),
)
"""Merged cells; cells or rows that are repeated 100 times or more, and do not end their row or table."""


def plain_sheets(content: bytes, package: Package, omitted: Counter[str]) -> bytes:
    """The ODS file; where there are merged cells or gaps, a copy without. calamine knows no merged cells of ODS."""
    sheets = package.read("content.xml")
    if not any(pattern.search(sheets) for pattern in _TO_REWRITE):
        return content
    root = parse_xml(sheets)
    del sheets
    for table in root.iter(f"{_TABLE}table"):
        for row, cells, repeated in rows_of(table):
            row.set(_ROWS, str(repeated))
            del row[:]
            row.extend(map(_own, cells))
    return package.with_parts({"content.xml": etree.tostring(root)})


def _own(cell: etree._Element | None) -> etree._Element:
    """The cell, or a copy where it stands elsewhere already."""
    if cell is None:
        return etree.Element(f"{_TABLE}table-cell")
    own = cell if cell.getparent() is None else copy(cell)
    own.attrib.pop(_COLUMNS, "")
    return own


def rows_of(table: etree._Element) -> Iterator[tuple[etree._Element, list[etree._Element | None], int]]:
    """Each row, its cells and how often it stands. A merged cell is in each of its places, None where one is empty."""
    rows = list(own_rows(table, ("table-row",)))
    starts = list(accumulate((spanned(row.get(_ROWS)) for row in rows), initial=0))
    grid = whole_rows([_cells(row, at, starts) for at, row in enumerate(rows)])
    for row, cells in zip(rows, grid, strict=True):
        yield row, cells, min(spanned(row.get(_ROWS)), _MOST_REPEATED) if cells else 1


def _cells(row: etree._Element, at: int, starts: list[int]) -> list[Cell[etree._Element]]:
    """Those that hold something, by their columns."""
    cells = []
    column = 0
    for cell in row:
        repeated = spanned(cell.get(_COLUMNS))
        if local_name(cell) == "table-cell" and len(cell):
            end = starts[at] + spanned(cell.get(f"{_TABLE}number-rows-spanned"))
            down = bisect_left(starts, end, lo=at + 1, hi=len(starts) - 1) - at
            across = spanned(cell.get(f"{_TABLE}number-columns-spanned"))
            cells += [Cell(cell, down, across, column + i) for i in range(min(repeated, _MOST_REPEATED))]
        column += repeated
    return cells
