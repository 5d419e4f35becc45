"""Spreadsheets (XLSX, XLSB, XLS, ODS) by calamine: one section a sheet."""

import datetime as dt
import io

import python_calamine

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import table_text
from indexing.read.formats.extract import Extract, Limits, require_chars, tidy
from indexing.read.formats.markup import Package, core_title

_EXACT = 2**53
"""A larger float need not be the whole number that was typed."""

Cell = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits) if content.startswith(b"PK") else None
    if package is not None:
        package.check_parts("xl/")
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
            cells = book.get_sheet_by_name(sheet.name).iter_rows()
            if table := table_text.render(([_text(cell) for cell in row] for row in cells), heading="### "):
                length += len(table)
                require_chars(length, limits)
                sections.append(f"## {sheet.name}\n\n{table}")
    return sections


def _text(cell: Cell) -> str:
    """Whole numbers without .0 and dates without 00:00:00, as the sheet shows them."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return str(cell.date())
    return str(cell)
