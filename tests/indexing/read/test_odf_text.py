"""Texts of OpenDocument: powers, notes, comments, hidden text, headers and footers, tracked changes."""

import pytest

from indexing.document import Document
from tests.indexing.read.test_formats import one, zipped

_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "style", "table")
)
_STYLES = (
    "".join(
        f'<style:style style:name="{name}" style:family="text"><style:text-properties {look}/></style:style>'
        for name, look in {
            "up": 'style:text-position="super 58%"',
            "percent": 'style:text-position="33% 58%"',
            "down": 'style:text-position="sub 58%"',
            "gone": 'text:display="none"',
        }.items()
    )
    + '<style:style style:name="heir" style:family="text" style:parent-style-name="gone"/>'
)


def read(body: str, running: str = "") -> Document:
    styles = f"<office:automatic-styles>{_STYLES}</office:automatic-styles>"
    content = f"<office:document-content {_NAMES}>{styles}<office:body><office:text>{body}</office:text></office:body>"
    pages = f"<office:master-styles><style:master-page>{running}</style:master-page></office:master-styles>"
    parts = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f"{content}</office:document-content>",
        "styles.xml": f"<office:document-styles {_NAMES}>{pages}</office:document-styles>",
    }
    return one(zipped(parts), "t.odt")


def span(style: str, text: str) -> str:
    return f'<text:span text:style-name="{style}">{text}</text:span>'


@pytest.mark.parametrize(
    ("paragraph", "text"),
    [
        (f"holds 10{span('up', '6')} litres", "holds 10^6 litres"),
        (f"2{span('percent', '10')} bytes", "2^10 bytes"),
        (f"CO{span('down', '2')}", "CO2"),
        (
            "litres<text:note><text:note-body><text:p>In 2031.</text:p></text:note-body></text:note> a day",
            "litres [In 2031.] a day",
        ),
        ("<text:tracked-changes><text:p>old</text:p></text:tracked-changes>new", "new"),
    ],
)
def test_the_text_of_a_paragraph(paragraph: str, text: str) -> None:
    assert read(f"<text:p>{paragraph}</text:p>").text == text


def test_hidden_text_is_dropped_and_reported() -> None:
    hidden = span("gone", "order") + span("heir", "order") + "<text:hidden-text>order</text:hidden-text>"
    found = read(f"<text:p>{hidden}Seen.</text:p>")
    assert (found.text, found.omitted) == ("Seen.", ("3 hidden texts",))


def test_comments_headers_and_footers_are_read() -> None:
    note = "<office:annotation><text:p>Check this</text:p></office:annotation>"
    counted = "<style:footer><text:p>Page <text:page-number>1</text:page-number></text:p></style:footer>"
    running = f"<style:header><text:p>Port of Lund</text:p></style:header>{counted}"
    found = read(
        f"<text:p>Noted{note}.</text:p><text:list><text:list-item><text:p>Item</text:p></text:list-item></text:list>",
        running,
    )
    assert found.text == "Noted.\n\nComment: Check this\n\n- Item\n\nHeader: Port of Lund"
