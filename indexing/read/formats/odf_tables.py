"""Tables of OpenDocument: merged cells in each row that they cover, without repeated empty rows and columns."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate, repeat

from lxml import etree

from indexing.read.formats.markup import own_rows
from indexing.read.formats.odf_text import OFFICE, TEXT, Reader
from indexing.read.formats.table_spans import Cell, spanned, whole_rows

TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_ROWS, _COLUMNS = f"{TABLE}number-rows-repeated", f"{TABLE}number-columns-repeated"
_ROWS_SPANNED, _COLUMNS_SPANNED = f"{TABLE}number-rows-spanned", f"{TABLE}number-columns-spanned"
_CELL, _VALUE = f"{TABLE}table-cell", f"{OFFICE}value"
_PARAGRAPH = f"{TEXT}p"
_MOST_REPEATED = 64
"""Cells or rows with the same text, one after the other."""
_NOT_PLAIN = (
    re.compile(rb'-spanned="(?!1")'),
    re.compile(rb'columns-repeated="\d{3,9}"[^<>]{0,500}>\s{0,99}<\w{1,40}:(?:table-cell|p)\b'),
    re.compile(
        rb'rows-repeated="\d{3,9}"[^<>]{0,500}>(?:\s{0,99}</?\w{1,40}:table-(?:cell|row)[^<>]{0,500}>){0,99}+'
        rb"(?!\s{0,99}</\w{1,40}:table>)"
    ),
)
"""Of merged cells; of cells or rows that are repeated 100 times or more, and do not end their row or table."""

_SHOWN = re.compile(
    rb'\boffice:value-type="(?:float|percentage|currency|time)"([^<>]*?) office:(?:time-)?value="[^<>"]*"'
    rb"(?=[^<>]*+>\s*<text:p\b)"
)


def is_plain(sheets: bytes) -> bool:
    """Whether calamine reads the sheets well: it knows no merged cells or comments, and writes out what is repeated."""
    return b":annotation" not in sheets and not any(pattern.search(sheets) for pattern in _NOT_PLAIN)


def as_shown(sheets: bytes) -> bytes:
    """Plain sheets with the texts of numbers in place of their values: calamine knows no formats."""
    return _SHOWN.sub(rb'office:value-type="string"\1', sheets)


def sheets(root: etree._Element, omitted: Counter[str]) -> Iterator[tuple[str, Iterator[list[str]], list[str]]]:
    """The name, the rows and the comments of each sheet."""
    reader = Reader((root,), omitted)
    for table in root.iter(f"{TABLE}table"):
        found = list(rows_of(table, omitted))
        width = max((len(cells) for cells, _ in found), default=0)
        rows = (
            row
            for cells, repeated in found
            for row in repeat(
                ["" if cell is None else _text(cell, reader) for cell in cells] + [""] * (width - len(cells)), repeated
            )
        )
        yield table.get(f"{TABLE}name", ""), rows, reader.comments_of(table)


def _text(cell: etree._Element, reader: Reader) -> str:
    """As it is shown; dates and times of day as ISO 8601 has them."""
    if date := cell.get(f"{OFFICE}date-value"):
        return date.replace("T", " ")
    found = [(p.text or "") if not len(p) else reader.text_of(p) for p in cell if p.tag == _PARAGRAPH]
    return " ".join(found) if found else cell.get(f"{OFFICE}value", "")


def rows_of(table: etree._Element, omitted: Counter[str]) -> Iterator[tuple[list[etree._Element | None], int]]:
    """The cells of each row and how often it stands. A merged cell is in each of its places; None is an empty one."""
    rows = list(own_rows(table, ("table-row",)))
    starts = list(accumulate((spanned(row.get(_ROWS)) for row in rows), initial=0))
    grid = whole_rows([_cells(row, at, starts, omitted) for at, row in enumerate(rows)])
    for row, cells in zip(rows, grid, strict=True):
        repeated = spanned(row.get(_ROWS)) if cells else 1
        omitted["repeated row"] += max(0, repeated - _MOST_REPEATED)
        yield cells, min(repeated, _MOST_REPEATED)


def _cells(row: etree._Element, at: int, starts: list[int], omitted: Counter[str]) -> list[Cell[etree._Element]]:
    """Those that hold something, by their columns."""
    cells = []
    column = 0
    for cell in row:
        attributes: Mapping[str, str] = cell.attrib  # type: ignore[assignment]
        repeated = spanned(attributes[_COLUMNS]) if _COLUMNS in attributes else 1
        if cell.tag == _CELL and (len(cell) or _VALUE in attributes):
            down = across = 1
            if _ROWS_SPANNED in attributes or _COLUMNS_SPANNED in attributes:
                end = starts[at] + spanned(attributes.get(_ROWS_SPANNED))
                down = bisect_left(starts, end, lo=at + 1, hi=len(starts) - 1) - at
                across = spanned(attributes.get(_COLUMNS_SPANNED))
            omitted["repeated cell"] += max(0, repeated - _MOST_REPEATED)
            cells += [Cell(cell, down, across, column + i) for i in range(min(repeated, _MOST_REPEATED))]
        column += repeated
    return cells
