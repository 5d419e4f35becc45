"""Closes the gaps of XLSX sheets with a cell far away from the others: calamine keeps all cells between in memory."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from lxml import etree

from indexing.read.formats.markup import local_name, parse_xml

_MANY = 10_000_000
"""Cells, the empty ones included, that a parser has the memory for."""
_SPARSE = 20
"""A sheet with fewer cells than one in 20 of its area is sparse."""
_ROW = re.compile(rb'row [^<>]*?\br="(\d{1,9})"')
_WIDE = re.compile(rb'r="([A-Z]{2,3})\d')
_NARROW = 26
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,9})")


def without_gaps(sheet: bytes) -> bytes:
    """The sheet; a sparse one has neither empty rows nor empty columns then."""
    return _close(parse_xml(sheet)) if _is_sparse(sheet) else sheet


def _is_sparse(sheet: bytes) -> bool:
    rows = max(map(int, _ROW.findall(sheet)), default=0)
    columns = max((_column(found.decode()) for found in set(_WIDE.findall(sheet))), default=_NARROW)
    return rows * columns > max(_MANY, _SPARSE * sheet.count(b'r="'))


def _close(root: etree._Element) -> bytes:
    cells = list(_cells(root))
    rows = sorted({row for row, _, _, _ in cells})
    columns = sorted({column for _, column, _, _ in cells})
    for row, column, parent, cell in cells:
        at = bisect_left(rows, row) + 1
        parent.set("r", str(at))
        cell.set("r", f"{_letters(bisect_left(columns, column) + 1)}{at}")
    for element in list(root.iter("{*}row", "{*}mergeCell", "{*}dimension")):
        name = local_name(element)
        if name == "dimension" or (name == "row" and not len(element)):
            above = element.getparent()
            if above is not None:
                above.remove(element)
        elif name == "mergeCell":
            _move(element, rows, columns)
    return etree.tostring(root)


def _cells(root: etree._Element) -> Iterator[tuple[int, int, etree._Element, etree._Element]]:
    """(row, column, row element, element) of each cell; one without a reference follows the one before it."""
    at = 0
    for row in root.iter("{*}row"):
        at = int(row.get("r") or at + 1)
        column = 0
        for cell in row.iterchildren("{*}c"):
            found = _REFERENCE.fullmatch(cell.get("r", ""))
            column = _column(found[1]) if found else column + 1
            yield at, column, row, cell


def _move(merge: etree._Element, rows: list[int], columns: list[int]) -> None:
    corners = [(_column(letters), int(row)) for letters, row in _REFERENCE.findall(merge.get("ref", ""))]
    if not corners:
        return
    (left, top), (right, bottom) = corners[0], corners[-1]
    first = f"{_letters(bisect_left(columns, left) + 1)}{bisect_left(rows, top) + 1}"
    last = f"{_letters(max(bisect_right(columns, right), 1))}{max(bisect_right(rows, bottom), 1)}"
    merge.set("ref", f"{first}:{last}")


def _column(letters: str) -> int:
    """A is 1, Z is 26, AA is 27."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
