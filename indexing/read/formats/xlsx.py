"""Spreadsheets (XLSX, XLSB, XLS, ODS) by calamine: one section a sheet."""

import datetime as dt
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import python_calamine

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import odf_tables, table_text
from indexing.read.formats.extract import Extract, Limits, counted, require_chars, tidy
from indexing.read.formats.markup import Package, core_title, parse_xml
from indexing.read.formats.number_format import plain
from indexing.read.formats.sheet_tables import tables_of
from indexing.read.formats.xlsx_notes import notes
from indexing.read.formats.xlsx_shown import number_formats, shown
from indexing.read.formats.xlsx_sparse import without_gaps

Sheets = Iterable[tuple[str, Iterable[Sequence[str]], Sequence[str]]]
"""(name, rows, lines below them) of each."""


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits) if content.startswith(b"PK") else None
    omitted: Counter[str] = Counter()
    try:
        text = tidy("\n\n".join(_sections(_sheets(content, package, omitted), limits)))
    except python_calamine.PasswordError as exc:
        raise UnreadableError("protected by a password") from exc
    except (python_calamine.CalamineError, OSError, ValueError) as exc:
        raise UnreadableError(f"broken spreadsheet: {one_line(str(exc))}") from exc
    return Extract(text, core_title(package) if package else "", omitted=counted(omitted))


def _sheets(content: bytes, package: Package | None, omitted: Counter[str]) -> Sheets:
    if package is None:
        return _by_calamine(content, {}, omitted)
    if "content.xml" not in package.names:
        package.check_parts("xl/")
        return _by_calamine(_rewritten(content, package, omitted), notes(package, omitted), omitted)
    sheets = package.read("content.xml")
    if not odf_tables.is_plain(sheets):
        return odf_tables.sheets(parse_xml(sheets), omitted)
    shown = odf_tables.as_shown(sheets)
    return _by_calamine(content if shown == sheets else package.with_parts({"content.xml": shown}), {}, omitted)


def _rewritten(content: bytes, package: Package, omitted: Counter[str]) -> bytes:
    """The XLSX file with sheets that calamine reads as they are shown."""
    formats = number_formats(package)
    new = {}
    for name in package.names:
        if name.startswith("xl/worksheets/") and name.endswith(".xml"):
            old = package.read(name)
            sheet = without_gaps(shown(old, formats, omitted))
            if sheet is not old:
                new[name] = sheet
    return package.with_parts(new) if new else content


def _by_calamine(content: bytes, beside: Mapping[str, list[str]], omitted: Counter[str]) -> Sheets:
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
        for sheet in book.sheets_metadata:
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet:
                yield sheet.name, _rows(book.get_sheet_by_name(sheet.name)), beside.get(sheet.name, ())
            else:
                omitted["chart"] += sheet.typ == python_calamine.SheetTypeEnum.ChartSheet


def _sections(sheets: Sheets, limits: Limits) -> list[str]:
    """A section for each sheet, hidden ones too: their author sees them, and often shows them."""
    sections: list[str] = []
    length = 0
    for name, rows, lines in sheets:
        if blocks := [*(table_text.render(table, heading="### ") for table in tables_of(rows)), *lines]:
            length += sum(map(len, blocks))
            require_chars(length, limits)
            sections.append("\n\n".join((f"## {name}", *blocks)))
    return sections


def _rows(sheet: python_calamine.CalamineSheet) -> Iterator[list[str]]:
    """The text of each row. That of merged cells stands in each of their rows, and of their columns but for a title."""
    left = (sheet.start or (0, 0))[1]
    merged = sorted(sheet.merged_cell_ranges or [], reverse=True)
    current: list[tuple[str, int, int, int]] = []
    for at, cells in enumerate(sheet.iter_rows()):
        row = [cell if isinstance(cell, str) else _text(cell) for cell in cells]
        if not merged and not current:
            yield row
            continue
        current = [area for area in current if area[3] >= at]
        while merged and merged[-1][0][0] <= at:
            (top, first), (bottom, last) = merged.pop()
            first, last = first - left, min(last - left, len(row) - 1)
            if top == at and 0 <= first <= last:
                current.append((row[first], first, first if last - first + 1 == len(row) else last, bottom))
        for text, first, last, _ in current:
            row[first : last + 1] = [text] * (last + 1 - first)
        yield row


def _text(cell: float | bool | dt.time | dt.date | dt.datetime | dt.timedelta) -> str:
    """A number without format by its 15 digits, dates without 00:00:00, durations in hours; TRUE and FALSE."""
    if isinstance(cell, float):
        return plain(cell)
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return str(cell.date())
    if isinstance(cell, dt.timedelta):
        seconds = round(abs(cell.total_seconds()))
        return f"{'-' * (cell < dt.timedelta())}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(cell)
