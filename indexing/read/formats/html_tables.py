"""Tables of HTML as Markdown has them: no spans, one header row at the top, captions and titles above."""

from copy import deepcopy
from itertools import zip_longest
from typing import Any

import lxml.html
from lxml import etree

from indexing.document import one_line
from indexing.read.formats.markup import own_rows
from indexing.read.formats.table_spans import Cell, spanned, whole_rows

_MOST_COPIED = 500
"""Characters of a cell; a longer one stands in the first of its cells only."""


def plain_tables(body: Any) -> None:
    """Rewrite the tables in the tree, the outer ones first. One that only lays out the page becomes blocks."""
    for table in list(body.iter("table")):
        if table.tag == "table":
            rows = [(row, list(own_rows(row, ("td", "th")))) for row in own_rows(table, ("tr",))]
            if _is_layout(table, [cells for _, cells in rows]):
                for part in (table, *(element for row, cells in rows for element in (row, *cells))):
                    part.tag = "div"
            else:
                _rewrite(table, rows)


def _is_layout(table: Any, rows: list[list[Any]]) -> bool:
    if table.get("role") in ("presentation", "none"):
        return True
    if table.find("caption") is not None or any(cell.tag == "th" for row in rows for cell in row):
        return False
    return max(map(len, rows), default=0) <= 1 or table.find(".//table") is not None


def _rewrite(table: Any, rows: list[tuple[Any, list[Any]]]) -> None:
    for inner in list(table.iterdescendants("table")):
        words = one_line(" ".join(inner.itertext()))
        inner.clear(keep_tail=True)
        inner.tag, inner.text = "span", f" {words} "
    stray = one_line(" ".join(table.xpath(".//text()[not(ancestor::td or ancestor::th)]")))
    groups: dict[Any, list[list[Any]]] = {}
    for row, cells in rows:
        groups.setdefault(row.getparent(), []).append(cells)
    shown = sorted(groups.items(), key=lambda group: {"thead": 0, "tfoot": 2}.get(group[0].tag, 1))
    heads = sum(len(group) for parent, group in shown if parent.tag == "thead")
    grid = whole_rows(
        [
            [Cell(cell, _rows(cell, len(group) - at), spanned(cell.get("colspan"))) for cell in cells]
            for _, group in shown
            for at, cells in enumerate(group)
        ]
    )
    above = [lxml.html.Element("div")]
    above[0].text = stray
    while len(grid) > 1 and len(grid[0]) == 1 < max(map(len, grid)):
        above += [cell for cell in grid.pop(0) if cell is not None]
        heads -= 1
    while heads < len(grid) and all(cell is not None and cell.tag == "th" for cell in grid[max(heads, 0)]):
        heads = max(heads, 0) + 1
    if 1 < heads < len(grid):
        grid[:heads] = [_joined(grid[:heads])]
    for block in above[not stray :]:
        block.tag, block.tail = "div", None
        table.addprevious(block)
    _fill(table, grid)


def _rows(cell: Any, left: int) -> int:
    """Rows that it spans, of those that are left of its group; 0 means all of them."""
    return min(spanned(cell.get("rowspan")), left) if cell.get("rowspan") != "0" else left


def _joined(rows: list[list[Any]]) -> list[Any]:
    """One row of names for several: "2030 Men" for Men below 2030."""
    names = []
    for cells in zip_longest(*rows):
        name = lxml.html.Element("th")
        name.text = " ".join(dict.fromkeys(_text(cell) for cell in cells if cell is not None)).strip()
        names.append(name)
    return names


def _text(cell: Any) -> str:
    return one_line((" " if cell.xpath("boolean(.//br|.//p|.//div)") else "").join(cell.itertext()))


def _fill(table: Any, grid: list[list[Any]]) -> None:
    table.clear(keep_tail=True)
    placed = set()
    for cells in grid:
        row = etree.SubElement(table, "tr")
        for cell in cells:
            is_short = cell is not None and len(cell.text_content()) <= _MOST_COPIED
            own = (
                cell
                if cell is not None and cell not in placed
                else deepcopy(cell)
                if is_short
                else lxml.html.Element("td")
            )
            placed.add(cell)
            row.append(own)
            own.tail = None
            own.attrib.clear()
