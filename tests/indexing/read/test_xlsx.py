"""Sheets: merged cells, numbers as they are shown, a cell far away from the others."""

import io
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import quoteattr

import pytest

from indexing.document import Document
from indexing.read.formats import xlsx_shown
from indexing.read.formats.load import load_bytes

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_RELATION = f'<Relationship Id="r1" Type="{_DOCUMENT}/{{}}" Target="{{}}"/>'

Cells = dict[str, str | float | bool]


def read(cells: Cells, *merged: str) -> str:
    """The text of a workbook with one sheet named S, without the sheet's heading."""
    return loaded(cells, *merged).text.removeprefix("## S\n\n")


def loaded(cells: Cells, *merged: str, codes: Sequence[str] = (), parts: Mapping[str, str] | None = None) -> Document:
    """The workbook; row 2 has a format for each of its columns from A on, `parts` go with the sheet by their kind."""
    parts = parts or {}
    rows: dict[int, str] = {}
    for name, value in cells.items():
        number = int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        style = ord(name[0]) - ord("A") + 1 if codes and number > 1 else 0
        rows[number] = rows.get(number, "") + cell(name, value, style)
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
        numbers = "".join(
            f'<numFmt numFmtId="{164 + at}" formatCode={quoteattr(code)}/>' for at, code in enumerate(codes)
        )
        styles = "".join(f'<xf numFmtId="{164 + at}"/>' for at in range(len(codes)))
        styles = f"<numFmts>{numbers}</numFmts><cellXfs><xf/>{styles}</cellXfs>"
        archive.writestr("xl/styles.xml", f'<styleSheet xmlns="{_MAIN}">{styles}</styleSheet>')
        related = "".join(_RELATION.format(kind, f"../{kind}.xml") for kind in parts)
        archive.writestr("xl/worksheets/_rels/sheet1.xml.rels", _RELATIONS.format(related))
        for kind, part in parts.items():
            archive.writestr(f"xl/{kind}.xml", part)
    (document,) = load_bytes(content.getvalue(), "a.xlsx")
    return document


def cell(name: str, value: str | float | bool, style: int = 0) -> str:
    if isinstance(value, str) and value.startswith("#"):
        return f'<c r="{name}" t="e"><v>{value}</v></c>'
    if isinstance(value, str) and value.startswith("="):
        return f'<c r="{name}"><f>{value[1:]}</f><v></v></c>'
    if isinstance(value, str):
        return f'<c r="{name}" t="inlineStr"><is><t>{value}</t></is></c>'
    if isinstance(value, bool):
        return f'<c r="{name}" t="b"><v>{int(value)}</v></c>'
    return f'<c r="{name}" s="{style}"><v>{value!r}</v></c>' if style else f'<c r="{name}"><v>{value!r}</v></c>'


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


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("0%", 0.07000000000000001, "7%"),
        ("0%", 0.125, "13%"),
        ('"$"#,##0.00', 1200.0, "$1,200.00"),
        ("#,##0.00\\ [$€-407]", -1234.5, "-1,234.50 €"),
        ('_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)', -5.0, "$(5.00)"),
        ('#,##0 "R&D <t>"', 5000.0, "5,000 R&D <t>"),
        ("00000", 42.0, "00042"),
        ("000-00-0000", 123456789.0, "123-45-6789"),
        ("0.00E+00", 5e-07, "5.00E-07"),
        ('0.0,,"M"', 12345678.0, "12.3M"),
        ('[<1000]0;[>=1000]0.0,"k"', 2500.0, "2.5k"),
        ("0.00", 1.005, "1.01"),
        ("0.##", 3.0, "3"),
        ("# ?/?", 0.5, "0.5"),
        (";;;", -5.0, "-5"),
        ("General", 0.060000000000000005, "0.06"),
        ('0" days"', 3.0, "3 days"),
        ("yyyy\\-mm\\-dd", 47909.0, "2031-03-02"),
        ("[h]:mm", 26.5 / 24, "26:30:00"),
        ("0." + "0" * 300, 1.5, "1.5"),
    ],
)
def test_formatted_numbers_as_the_sheet_shows_them(code: str, value: float, shown: str) -> None:
    assert loaded({"A1": "Rate", "A2": value}, codes=[code]).text.endswith(f"| {shown} |")


def test_numbers_of_formulas_have_their_format_and_shared_strings_keep_theirs() -> None:
    sheet = (
        b'<c r="A1" s="1"><f>B1*2</f><v>0.5</v></c><c r="B1" s="1" t="s"><v>7</v></c><c r="C1" t="s" s="1"><v>7</v></c>'
    )
    new = xlsx_shown.shown(sheet, {"1": lambda value: f"{value:.0%}"}, Counter())
    assert new == (
        b'<c r="A1" t="str"><f>B1*2</f><v>50%</v></c>'
        b'<c r="B1" s="1" t="s"><v>7</v></c><c r="C1" t="s" s="1"><v>7</v></c>'
    )


def test_errors_are_shown_and_formulas_without_a_value_reported() -> None:
    document = loaded(
        {"A1": "Sum", "B1": "Share", "A2": "#DIV/0!", "B2": 0.5, "A3": "=1+1", "B3": "#N/A"}, codes=["0", "0%"]
    )
    assert document.text.splitlines()[-2:] == ["| #DIV/0! | 50% |", "|  | #N/A |"]
    assert document.omitted == ("1 uncalculated formula",)


def test_comments_and_text_boxes_stand_below_the_sheet_and_charts_are_reported() -> None:
    def note(ref: str, text: str) -> str:
        return f'<comment ref="{ref}"><text><r><t>{text}</t></r></text></comment>'

    notes = note("A2", "Counted twice") + note("B2", "[Threaded comment] Old programs show this")
    thread = "".join(f'<threadedComment ref="B2"><text>{text}</text></threadedComment>' for text in ("Why?", "Frost."))
    box = "<sp><txBody><p><r><t>Prices</t></r><r><t> in euros</t></r></p></txBody></sp>"
    document = loaded(
        {"A1": "Crane", "A2": "Nine"},
        parts={
            "comments": f'<comments xmlns="{_MAIN}"><commentList>{notes}</commentList></comments>',
            "threadedComment": f"<ThreadedComments>{thread}</ThreadedComments>",
            "drawing": f"<wsDr>{box}<graphicFrame><chart/></graphicFrame></wsDr>",
        },
    )
    assert document.text.split("\n\n")[2:] == [
        "Comment on B2: Why?", "Comment on B2: Frost.", "Note on A2: Counted twice", "Prices in euros",
    ]  # fmt: skip
    assert document.omitted == ("1 chart",)
