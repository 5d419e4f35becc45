"""Tables of HTML, in pages, mails and chapters: rows whole, one header, captions above."""

import pytest

from indexing.read.formats.html import body_markdown
from indexing.read.formats.load import load_bytes
from indexing.read.formats.table_spans import Cell, whole_rows

MENU = "<ul class=menu>" + "<li><a href=a>One more page</a></li>" * 20 + "</ul>"
LONG = "<p>The reservoir above the village was built in 1934 and holds nine million litres of water.</p>" * 6


def text_of(body: str) -> str:
    page = f"<!doctype html><html><body>{body}</body></html>"
    return next(iter(load_bytes(page.encode(), "a.html"))).text


def table(*rows: str) -> str:
    lines = [f"| {row} |" for row in rows]
    return "\n".join((lines[0], "|" + " --- |" * (rows[0].count(" | ") + 1), *lines[1:]))


SPANS = (
    "<table><tr><th>Region</th><th>Town</th><th>Boats</th></tr><tr><td rowspan=3>North</td><td>Arlby</td><td>4</td>"
    "</tr><tr><td>Borne</td><td rowspan='2'>7</td></tr><tr><td>Celle</td></tr><tr><td colspan=2>All</td><td>18</td>"
    "</tr></table>"
)
WHOLE = table("Region | Town | Boats", "North | Arlby | 4", "North | Borne | 7", "North | Celle | 7", "All | All | 18")


def test_a_cell_stands_in_each_of_its_rows() -> None:
    assert text_of(SPANS) == WHOLE
    among = text_of(f"{MENU}<main>{LONG}{SPANS}{LONG}</main>").split("\n")
    assert [line for line in among if "|" in line and "---" not in line] == [
        line for line in WHOLE.split("\n") if "---" not in line
    ]


def test_tables_of_mails_and_chapters_are_read_as_those_of_pages() -> None:
    mail = f"From: a@example.org\nSubject: Boats\nContent-Type: text/html\n\n{SPANS}"
    assert next(iter(load_bytes(mail.encode(), "a.eml"))).text.endswith(WHOLE)
    assert body_markdown(SPANS) == WHOLE


def test_the_caption_and_title_rows_stand_above_the_table() -> None:
    rows = "<tr><td>Zone</td><td>Fare</td></tr><tr><td>A</td><td>4</td></tr>"
    read = table("Zone | Fare", "A | 4")
    assert text_of(f"<table><caption>Fares</caption>{rows}</table>") == f"Fares\n\n{read}"
    assert text_of(f"<table><colgroup><col><col></colgroup><tr><th colspan=2>Fares</th></tr>{rows}</table>") == (
        f"Fares\n\n{read}"
    )


def test_names_in_several_rows_are_joined_and_the_foot_comes_last() -> None:
    page = (
        "<table><thead><tr><th rowspan=2>Town<br>name</th><th colspan=2>2030</th></tr><tr><th>Men</th><th>Women</th>"
        "</tr></thead><tfoot><tr><td>All</td><td>9</td><td>8</td></tr></tfoot>"
        "<tbody><tr><th>Arlby</th><td>4</td><td>5</td></tr></tbody></table>"
    )
    assert text_of(page) == table("Town name | 2030 Men | 2030 Women", "Arlby | 4 | 5", "All | 9 | 8")


def test_a_row_of_names_within_the_body_stays_a_row() -> None:
    names = "<tr><th>Town</th><th>Boats</th></tr>"
    page = f"<table><tr><td>A</td><td>1</td></tr>{names}<tr><td>B</td><td>2</td></tr></table>"
    assert text_of(page) == table("A | 1", "Town | Boats", "B | 2")


def test_tables_that_lay_out_a_page_become_blocks() -> None:
    inner = "<table><tr><th>Zone</th><th>Fare</th></tr><tr><td>A</td><td>4</td></tr></table>"
    outer = f"<table><tr><td><h1>Dam</h1></td><td><p>One.</p><p>Two.</p>{inner}</td></tr></table>"
    assert text_of(outer) == f"# Dam\n\nOne.\n\nTwo.\n\n{table('Zone | Fare', 'A | 4')}"
    assert text_of("<table role=presentation><tr><td>One</td><td>two</td></tr></table>") == "One\n\ntwo"


def test_a_table_in_a_cell_becomes_its_text_and_bars_are_escaped() -> None:
    inner = "<table><tr><td>in</td><td>ner</td></tr></table>"
    page = f"<table><tr><th>Zone</th><th>Fare</th></tr><tr><td>A{inner}</td><td>4|5</td></tr></table>"
    assert text_of(page) == table("Zone | Fare", "A in ner | 4\\|5")


@pytest.mark.parametrize("span", ["rowspan=65534 colspan=1000", "rowspan=999999999999 colspan=9999999999", "rowspan=0"])
def test_a_span_goes_no_further_than_the_table(span: str) -> None:
    page = f"<table><tr><td {span}>A</td><td>B</td></tr><tr><td>C</td></tr></table><p>End</p>"
    assert text_of(page) == f"{table('A | B', 'A | C')}\n\nEnd"


def test_a_span_ends_with_its_part_of_the_table() -> None:
    head = "<thead><tr><th rowspan=9>Town</th><th>Boats</th></tr></thead>"
    page = f"<table>{head}<tbody><tr><td>Arlby</td><td>4</td></tr></tbody></table>"
    assert text_of(page) == table("Town | Boats", "Arlby | 4")


def test_hostile_spans_give_no_more_cells_than_a_multiple_of_those_there_are() -> None:
    rows = [[Cell("x", 65534, 1000)] * 40 for _ in range(500)]
    grid = whole_rows(rows)
    assert [len(grid), {value for row in grid for value in row} <= {"x", None}] == [500, True]
    assert sum(value is not None for row in grid for value in row) <= 21 * 40 * 500


def test_numbers_that_are_no_spans() -> None:
    page = "<table><tr><td rowspan=-2>A</td><td colspan=x>B</td></tr><tr><td rowspan=²>C</td><td>D</td></tr></table>"
    assert text_of(page) == table("A | B", "C | D")
