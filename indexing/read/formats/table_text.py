"""Rows of cells as text: each row says its column names itself, so that a chunk of a long table still has them."""

from collections.abc import Iterable, Sequence

from indexing.read.formats.extract import one_line

SMALL = 12
"""Rows up to which a table is one Markdown table, which fits a chunk with its header."""


def render(rows: Iterable[Sequence[str]]) -> str:
    """ "" for no cells. A header is a first row of distinct words; without one, cells are only separated."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    if not cells:
        return ""
    width = max(len(row) for row in cells)
    used = [i for i in range(width) if any(i < len(row) and row[i] for row in cells)]
    cells = [[row[i] if i < len(row) else "" for i in used] for row in cells]
    header = cells[0] if has_header(cells) else None
    if len(cells) <= SMALL or header is None:
        return markdown_table(cells) if header else "\n".join(" | ".join(row).strip(" |") for row in cells)
    names = [name or f"column {i}" for i, name in enumerate(header, 1)]
    return "\n".join(
        ", ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=True) if cell) for row in cells[1:]
    )


def has_header(cells: Sequence[Sequence[str]]) -> bool:
    first = [cell for cell in cells[0] if cell]
    return (
        len(cells) > 1
        and len(first) > len(cells[0]) / 2
        and len({*first}) == len(first)
        and not any(map(_number, first))
    )


def _number(cell: str) -> bool:
    return cell.strip("-+%$€£ ()").replace(",", "").replace(".", "").isdigit()


def markdown_table(cells: Sequence[Sequence[str]]) -> str:
    """The first row is the header; all rows have its width or less."""
    width = len(cells[0])
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])
