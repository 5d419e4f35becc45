"""Tables of OpenDocument, in sheets and in texts: merged cells, repeated ones, a cell far away from the others."""

import io
import zipfile

import pytest

from indexing.document import Document
from indexing.read.formats.load import load_bytes

_BASE = "urn:oasis:names:tc:opendocument:xmlns"
_HEAD = "| Region | Town |\n| --- | --- |\n"


def read(rows: str, kind: str = "spreadsheet") -> str:
    """The text of a file with one table named S, without the heading of a sheet."""
    return loaded(rows, kind).text.removeprefix("## S\n\n")


def loaded(rows: str, kind: str = "spreadsheet") -> Document:
    names = " ".join(f'xmlns:{name}="{_BASE}:{name}:1.0"' for name in ("office", "text", "table"))
    content = (
        f"<office:document-content {names}><office:body><office:{kind}>"
        f'<table:table table:name="S"><table:table-column table:number-columns-repeated="16384"/>{rows}</table:table>'
        f"</office:{kind}></office:body></office:document-content>"
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)
    (document,) = load_bytes(file.getvalue(), "a.ods" if kind == "spreadsheet" else "a.odt")
    return document


def row(*cells: str, repeated: int = 1) -> str:
    return f'<table:table-row table:number-rows-repeated="{repeated}">{"".join(cells)}</table:table-row>'


def cell(text: str, **spans: int) -> str:
    attributes = "".join(f' table:number-{name.replace("_", "-")}="{number}"' for name, number in spans.items())
    return f'<table:table-cell office:value-type="string"{attributes}><text:p>{text}</text:p></table:table-cell>'


def empty(columns: int = 1, name: str = "table-cell") -> str:
    return f'<table:{name} table:number-columns-repeated="{columns}"/>'


KINDS = pytest.mark.parametrize("kind", ["spreadsheet", "text"])


@KINDS
def test_the_value_of_merged_cells_stands_in_each_row(kind: str) -> None:
    covered = empty(name="covered-table-cell")
    rows = (
        row(cell("Towns", columns_spanned=2), covered) + row(cell("Region"), cell("Town"))
        + row(cell("North", rows_spanned=4), cell("Arlby")) + row(covered, cell("Borden")) + row(covered, repeated=2)
        + row(cell("South"), cell("Keld"), empty(16382)) + row(empty(16384), repeated=1048569)
    )  # fmt: skip
    assert read(rows, kind) == (
        f"Towns\n\n{_HEAD}| North | Arlby |\n| North | Borden |\n| North |  |\n| North |  |\n| South | Keld |"
    )


@KINDS
def test_cells_that_span_columns_and_rows_keep_the_others_in_their_columns(kind: str) -> None:
    covered = empty(name="covered-table-cell")
    rows = (
        row(cell("Region"), cell("Town"), cell("Fee"), cell("Year"))
        + row(cell("North"), cell("closed", columns_spanned=2, rows_spanned=2), covered, cell("2031"))
        + row(cell("South"), empty(2, "covered-table-cell"), cell("2032"))
    )
    assert read(rows, kind).splitlines()[2:] == [
        "| North | closed | closed | 2031 |",
        "| South | closed | closed | 2032 |",
    ]


@KINDS
@pytest.mark.parametrize(("down", "across"), [(1048573, 16381), (1048573, 0), (0, 16381), (99_000, 16381)])
def test_a_far_cell_and_the_others_are_read(kind: str, down: int, across: int) -> None:
    rows = (
        row(cell("Region"), empty(), cell("Town")) + row(cell("North"), empty(), cell("Arlby"))
        + row(empty(16384), repeated=max(down, 1)) + row(empty(across + 1), cell("note"))
    )  # fmt: skip
    text = read(rows, kind)
    assert [text.count(word) for word in ("Region", "North", "Arlby", "note")] == [1, 1, 1, 1]
    assert "Town" in text


@KINDS
def test_what_is_repeated_without_end_is_read_a_few_times(kind: str) -> None:
    many = row(cell("again", columns_repeated=16384), repeated=1048576)
    assert 0 < read(many, kind).count("again") <= 64 * 64
    assert read(row(cell("Region"), cell("Town")) + row(cell("North"), cell("Arlby"), repeated=3), kind) == (
        _HEAD + "\n".join(["| North | Arlby |"] * 3)
    )


@KINDS
def test_what_is_repeated_more_often_is_reported(kind: str) -> None:
    rows = row(cell("Region"), cell("Town")) + row(cell("North"), cell("Arlby"), repeated=100)
    found = loaded(rows + row(cell("South")), kind)
    assert (found.text.count("Arlby"), found.omitted) == (64, ("36 repeated rows",))


def shares(first: str) -> str:
    def number(kind: str, value: str, shown: str) -> str:
        return f'<table:table-cell office:value-type="{kind}" {value}><text:p>{shown}</text:p></table:table-cell>'

    return row(cell("Region"), cell("Share"), cell("Price"), cell("Day")) + row(
        first, number("percentage", 'office:value="0.07"', "7%"),
        number("currency", 'office:currency="EUR" office:value="1234.5"', "1,234.50 €"),
        number("date", 'office:date-value="2031-03-02"', "2 March"),
    )  # fmt: skip


@pytest.mark.parametrize("first", [cell("North"), cell("North", rows_spanned=2)])
def test_numbers_are_read_as_shown_and_dates_as_they_are(first: str) -> None:
    assert read(shares(first)).endswith("| North | 7% | 1,234.50 € | 2031-03-02 |")


def test_comments_stand_below_the_sheet() -> None:
    note = "<office:annotation><text:p>Estimated</text:p></office:annotation><text:p>North</text:p>"
    found = read(shares(f'<table:table-cell office:value-type="string">{note}</table:table-cell>'))
    assert found.endswith("| North | 7% | 1,234.50 € | 2031-03-02 |\n\nComment: Estimated")
