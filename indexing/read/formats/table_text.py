"""Tables as text. Each row of a long table repeats the column names, so that every chunk has them."""

from collections.abc import Iterable, Sequence

from indexing.document import one_line

SMALL = 12
"""Rows of a Markdown table at most: with its header it fits a chunk."""


def render(rows: Iterable[Sequence[str]]) -> str:
    """Markdown, or "name: cell" lines for more rows than SMALL; "" without cells, only separators without a header."""
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
    """Whether the first row is a header: mostly filled, with distinct words and no numbers."""
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
    """The first row is the header; no row may be wider."""
    width = len(cells[0])
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])
