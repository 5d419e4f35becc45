"""Tables as text. Each row of a long table repeats the column names, so that every chunk has them."""

from collections.abc import Iterable, Sequence

from indexing.document import one_line
from indexing.read.formats.table_header import distinct, header_of

SMALL = 12
"""Rows of a Markdown table at most: with its header it fits a chunk."""


def render(rows: Iterable[Sequence[str]], *, heading: str = "") -> str:
    """Markdown, or "name: cell" lines for more rows than SMALL; "" without cells, only separators without a header.

    What stands above the header comes first, as lines; above a long table the first of them after `heading`, as "# ".
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    if not cells:
        return ""
    width = max(len(row) for row in cells)
    used = [i for i in range(width) if any(i < len(row) and row[i] for row in cells)]
    cells = [[row[i] if i < len(row) else "" for i in used] for row in cells]
    header = header_of(cells)
    if header is None:
        return "\n".join(" | ".join(row).strip(" |") for row in cells)
    above = "\n".join(" ".join(dict.fromkeys(filter(None, row))) for row in cells[: header.start])
    body = cells[header.end :]
    if len(body) < SMALL:
        table = markdown_table([header.names, *body])
    else:
        above = heading * bool(above) + above
        table = _lines(header.names, body)
    return f"{above}\n\n{table}" if above else table


def _lines(names: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    names = distinct([name or f"column {i}" for i, name in enumerate(names, 1)])
    starts = [f"{name}: " for name in names]
    return "\n".join(", ".join([start + cell for start, cell in zip(starts, row, strict=True) if cell]) for row in body)


def markdown_table(cells: Sequence[Sequence[str]]) -> str:
    """The first row is the header; no row may be wider."""
    width = len(cells[0])
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])
