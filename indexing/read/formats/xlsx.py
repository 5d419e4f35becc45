"""Spreadsheets (XLSX, XLSB, XLS, ODS) by calamine: one section a sheet."""

import datetime as dt
import io
from collections.abc import Iterator

import python_calamine

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import table_text
from indexing.read.formats.extract import Extract, Limits, require_chars, tidy
from indexing.read.formats.markup import Package, core_title
from indexing.read.formats.odf_tables import plain_sheets
from indexing.read.formats.xlsx_sparse import without_gaps

_EXACT = 2**53
"""A larger float need not be the whole number that was typed."""
_DIGITS = 15
"""That a spreadsheet keeps of a number."""

Cell = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits) if content.startswith(b"PK") else None
    if package is not None:
        package.check_parts("xl/")
        content = (plain_sheets if "content.xml" in package.names else without_gaps)(content, package)
    try:
        sections = _sections(content, limits)
    except python_calamine.PasswordError as exc:
        raise UnreadableError("protected by a password") from exc
    except (python_calamine.CalamineError, OSError, ValueError) as exc:
        raise UnreadableError(f"broken spreadsheet: {one_line(str(exc))}") from exc
    text = tidy("\n\n".join(sections))
    return Extract(text, core_title(package) if package else "")


def _sections(content: bytes, limits: Limits) -> list[str]:
    sections: list[str] = []
    length = 0
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
        for sheet in book.sheets_metadata:
            if sheet.typ != python_calamine.SheetTypeEnum.WorkSheet:
                continue
            rows = _rows(book.get_sheet_by_name(sheet.name))
            if table := table_text.render(rows, heading="### "):
                length += len(table)
                require_chars(length, limits)
                sections.append(f"## {sheet.name}\n\n{table}")
    return sections


def _rows(sheet: python_calamine.CalamineSheet) -> Iterator[list[str]]:
    """The text of each row. That of merged cells stands in each of their rows, and of their columns but for a title."""
    left = (sheet.start or (0, 0))[1]
    merged = sorted(sheet.merged_cell_ranges or [], reverse=True)
    current: list[tuple[str, int, int, int]] = []
    for at, cells in enumerate(sheet.iter_rows()):
        row = [_text(cell) for cell in cells]
        current = [area for area in current if area[3] >= at]
        while merged and merged[-1][0][0] <= at:
            (top, first), (bottom, last) = merged.pop()
            first, last = first - left, min(last - left, len(row) - 1)
            if top == at and 0 <= first <= last:
                current.append((row[first], first, first if last - first + 1 == len(row) else last, bottom))
        for text, first, last, _ in current:
            row[first : last + 1] = [text] * (last + 1 - first)
        yield row


def _text(cell: Cell) -> str:
    """As the sheet shows it: 15 digits, whole numbers without .0, dates without 00:00:00, TRUE and FALSE."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    if isinstance(cell, float):
        return f"{cell:.{_DIGITS}g}"
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return str(cell.date())
    return str(cell)
