"""Merged cells of DOCX: each row is whole."""

from tests.indexing.read.test_formats import docx, one


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"


def table(*rows: str) -> str:
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"


def lines(body: str) -> list[str]:
    return one(docx(body), "a.docx").text.split("\n")


HEADER = cell("Zone") + cell("Hours") + cell("Fee")
BEGIN, ON = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"


def test_a_cell_merged_down_stands_in_each_of_its_rows() -> None:
    rows = (
        cell("Blue", BEGIN) + cell("8 to 12") + cell("3"),
        cell("", ON) + cell("12 to 18") + cell("5"),
        cell("Green") + cell("all day") + cell("0"),
    )
    assert lines(table(HEADER, *rows)) == [
        "| Zone | Hours | Fee |", "| --- | --- | --- |", "| Blue | 8 to 12 | 3 |", "| Blue | 12 to 18 | 5 |",
        "| Green | all day | 0 |",
    ]  # fmt: skip


def test_a_cell_merged_across_stands_in_each_of_its_columns() -> None:
    wide = '<w:gridSpan w:val="2"/>'
    rows = (cell("Blue", BEGIN + wide) + cell("3"), cell("", ON + wide) + cell("5"), cell("a") + cell("b") + cell("c"))
    assert lines(table(HEADER, *rows))[2:] == ["| Blue | Blue | 3 |", "| Blue | Blue | 5 |", "| a | b | c |"]


def test_a_row_that_begins_later_keeps_its_columns() -> None:
    late = '<w:trPr><w:gridBefore w:val="1"/></w:trPr>' + cell("12 to 18") + cell("5")
    assert lines(table(HEADER, cell("Blue") + cell("8") + cell("3"), late))[3] == "|  | 12 to 18 | 5 |"


def test_spans_of_a_hostile_table_are_bounded() -> None:
    huge = '<w:gridSpan w:val="999999999"/>'
    assert len("\n".join(lines(table(HEADER, cell("x", huge))))) < 10_000


def test_a_table_in_a_merged_cell_stands_once() -> None:
    inner = f"<w:tc><w:tcPr>{BEGIN}</w:tcPr>{table(cell('in'))}<w:p/></w:tc>"
    text = "\n".join(lines(table(HEADER, inner + cell("1") + cell("2"), cell("", ON) + cell("3") + cell("4"))))
    assert "3 | 4" in text
