"""Tables of DOCX without merged cells: what is merged is written in each cell that it covers."""

from copy import deepcopy

from lxml import etree

from indexing.read.formats.docx_numbering import value
from indexing.read.formats.markup import local_name, own_rows

_MOST_COLUMNS = 63
"""Word's own limit."""
_MOST_COPIED = 500
"""Characters of a cell; a longer one stands in the first of its cells only."""


def unmerge(root: etree._Element) -> None:
    """Give each row of each table a cell for each of its columns."""
    for table in root.iter("{*}tbl"):
        above: dict[int, etree._Element] = {}
        for row in own_rows(table, ("tr",)):
            above = _unmerge_row(row, above)


def _unmerge_row(row: etree._Element, above: dict[int, etree._Element]) -> dict[int, etree._Element]:
    """Unmerge a row; `above` and what is returned are the cells by column that the next row may go on."""
    column = _indent(row)
    merged: dict[int, etree._Element] = {}
    for cell in list(own_rows(row, ("tc",))):
        span = _span(cell.find("{*}tcPr/{*}gridSpan"))
        merge = cell.find("{*}tcPr/{*}vMerge")
        if merge is not None and value(merge) in (None, "", "continue") and column in above:
            _fill(cell, above[column])
        if merge is not None:
            merged[column] = above[column] if column in above and value(merge) != "restart" else cell
        _take_marks(cell)
        for _ in range(span - 1):
            copy = etree.Element(cell.tag)
            cell.addnext(copy)
            _fill(copy, cell)
        column += span
    return merged


def _indent(row: etree._Element) -> int:
    """Add the cells that the row leaves out at its start; how many there are."""
    before = row.find("{*}trPr/{*}gridBefore")
    width = 0 if before is None else _span(before)
    first = next(iter(own_rows(row, ("tc",))), None)
    if first is None:
        return width
    for _ in range(width):
        first.addprevious(etree.Element(first.tag))
    return width


def _span(element: etree._Element | None) -> int:
    text = value(element) or ""
    return max(1, min(int(text[:9]), _MOST_COLUMNS)) if text.isascii() and text.isdigit() else 1


def _fill(cell: etree._Element, source: etree._Element) -> None:
    """Put a copy of the content of a short cell into an empty one."""
    length = sum(len(text.text or "") for text in source.iter("{*}t"))
    if length <= _MOST_COPIED and not any(text.text for text in cell.iter("{*}t")):
        cell.extend(deepcopy(child) for child in source if local_name(child) == "p")


def _take_marks(cell: etree._Element) -> None:
    for mark in [*cell.findall("{*}tcPr/{*}vMerge"), *cell.findall("{*}tcPr/{*}gridSpan")]:
        parent = mark.getparent()
        if parent is not None:
            parent.remove(mark)
