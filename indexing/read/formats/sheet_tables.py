"""Cuts a sheet into its tables, which stand below or beside each other with blank rows or columns between."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from indexing.read.formats.table_header import header_of

_SAMPLE = 66
"""Rows by which it is judged whether a block is a table: where its header may stand, and a page of values."""
_VALUE = re.compile(r"(?:[A-Z]{1,3}|\W)*\d[\d\W]*\w{0,3}\W*")
"""A number with its sign, unit or currency, a date, a code such as A1; no name of a column."""
_LEAST = 2
"""Columns of a table, and a second table's columns to each of the first, where nothing else tells them apart."""

Row = Sequence[str]


def tables_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each table, those above its header included. Rows below a gap without a header go with its table."""
    tables: list[list[Row]] = []
    head: list[Row] = []
    above: list[Row] = []
    for filled, group in groupby(rows, any):
        block = list(group)
        if not filled:
            continue
        if len(sides := _sides(block)) > 1:
            tables += [table for side in sides for table in tables_of(side)]
            head, above = [], []
        elif head and all(len(set(filter(None, row))) == 1 for row in block):
            above += block
        elif head and not _begins(head, block):
            if above:
                tables.append([*above, *head])
                above = []
            tables[-1] += block
        elif tables and not head:
            tables[-1] += block
            head = _head(tables[-1])
        else:
            tables.append([*above, *block])
            head, above = _head(tables[-1]), []
    return [*tables, above] if above else tables


def _sides(block: list[Row]) -> list[list[Row]]:
    """The tables beside each other; the block where there is one, which may have blank columns within."""
    used = _columns(block)
    runs = [[at for _, at in run] for _, run in groupby(enumerate(used), lambda pair: pair[1] - pair[0])]
    if len(runs) == 1:
        return [block]
    sides = [[row[run[0] : run[-1] + 1] for row in block] for run in runs]
    extents = set()
    for side in sides:
        filled = [at for at, row in enumerate(side) if any(row)]
        extents.add((filled[0], filled[-1]))
        head = _head([row for row in side[:_SAMPLE] if any(row)])
        if not head or not side[filled[-1]][0][:1].isalpha():
            return [block]
    return sides if len(extents) > 1 else [block]


def _head(rows: list[Row]) -> list[Row]:
    """The header's rows, if it is one without doubt: words over a column of values."""
    used = _columns(rows)
    sample = [[row[at] for at in used] for row in rows[:_SAMPLE]]
    header = header_of(sample) if len(used) >= _LEAST else None
    if header is None:
        return []
    for at, name in enumerate(header.names):
        values = [row[at] for row in sample[header.end :] if row[at]]
        if name and not re.search(r"\d", name) and 2 * sum(map(bool, map(_VALUE.fullmatch, values))) > len(values):
            return rows[header.start : header.end]
    return []


def _begins(head: list[Row], block: list[Row]) -> bool:
    """Whether a block below a table with this header is another table."""
    above, used = _columns(head), _columns(block)
    sample = [[row[at] for at in used] for row in block[:_SAMPLE]]
    if len(used) < _LEAST or header_of(sample) is None:
        return False
    return bool(_head(block)) or not set(used) <= set(above) or len(used) * _LEAST <= len(above)


def _columns(rows: list[Row]) -> list[int]:
    return [at for at in range(len(rows[0])) if any(row[at] for row in rows)]
