"""Sheets: merged cells, numbers as they are shown, a cell far away from the others."""

import io
import zipfile

import pytest

from indexing.read.formats.load import load_bytes

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_RELATION = f'<Relationship Id="r1" Type="{_DOCUMENT}/{{}}" Target="{{}}"/>'

Cells = dict[str, str | float | bool]


def read(cells: Cells, *merged: str) -> str:
    """The text of a workbook with one sheet named S, without the sheet's heading."""
    rows: dict[int, str] = {}
    for name, value in cells.items():
        number = int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        rows[number] = rows.get(number, "") + cell(name, value)
    data = "".join(f'<row r="{number}">{inner}</row>' for number, inner in rows.items())
    merges = "".join(f'<mergeCell ref="{area}"/>' for area in merged)
    sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{data}</sheetData><mergeCells>{merges}</mergeCells></worksheet>'
    sheets = '<sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets>'
    book = f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}">{sheets}</workbook>'
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("_rels/.rels", _RELATIONS.format(_RELATION.format("officeDocument", "xl/workbook.xml")))
        archive.writestr("xl/workbook.xml", book)
        relation = _RELATION.format("worksheet", "worksheets/sheet1.xml")
        archive.writestr("xl/_rels/workbook.xml.rels", _RELATIONS.format(relation))
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    (document,) = load_bytes(content.getvalue(), "a.xlsx")
    return document.text.removeprefix("## S\n\n")


def cell(name: str, value: str | float | bool) -> str:
    if isinstance(value, str):
        return f'<c r="{name}" t="inlineStr"><is><t>{value}</t></is></c>'
    if isinstance(value, bool):
        return f'<c r="{name}" t="b"><v>{int(value)}</v></c>'
    return f'<c r="{name}"><v>{value!r}</v></c>'


def test_the_value_of_merged_cells_stands_in_each_row() -> None:
    cells: Cells = {
        "B2": "Region",
        "C2": "Town",
        "B3": "North",
        "C3": "Arlby",
        "C4": "Borden",
        "B5": "South",
        "C5": "Keld",
    }
    assert read(cells, "B3:B4").splitlines()[2:] == ["| North | Arlby |", "| North | Borden |", "| South | Keld |"]


def test_merged_names_of_columns_go_with_the_names_below() -> None:
    cells: Cells = {"A1": "Fares", "A2": "Zone", "B2": "2029", "D2": "2030"}
    cells |= {"B3": "Adult", "C3": "Child", "D3": "Adult", "E3": "Child", "A4": "A", "B4": 4, "C4": 2, "D4": 5, "E4": 3}
    assert read(cells, "A1:E1", "A2:A3", "B2:C2", "D2:E2").splitlines() == [
        "Fares", "", "| Zone | 2029 Adult | 2029 Child | 2030 Adult | 2030 Child |", "| --- | --- | --- | --- | --- |",
        "| A | 4 | 2 | 5 | 3 |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.060000000000000005, "0.06"),
        (1234.5600000000001, "1234.56"),
        (7.0, "7"),
        (-0.1, "-0.1"),
        (1e20, "1e+20"),
        (True, "TRUE"),
    ],
)
def test_numbers_as_the_sheet_shows_them(value: float, shown: str) -> None:
    assert read({"A1": "Rate", "A2": value}).endswith(f"| {shown} |")


@pytest.mark.parametrize("far", ["XFD1048576", "A1048576", "XFD3"])
def test_a_far_cell_and_the_others_are_read(far: str) -> None:
    cells: Cells = {"A1": "Region", "C1": "Town", "A2": "North", "C2": "Arlby", "C3": "Borden", far: "note"}
    text = read(cells, "A2:A3")
    assert [text.count(word) for word in ("North", "Arlby", "Borden", "note")] == [2, 1, 1, 1]
