"""XML: what attributes say, and markup in text."""

import pytest

from indexing.document import Document
from indexing.read.formats.load import load_bytes


def read(text: str) -> Document:
    (document,) = load_bytes(text.encode(), "a.xml")
    return document


def test_what_attributes_say_is_read() -> None:
    kettle = '<product sku="KX-17" name="Copper kettle" price="48.90"/>'
    assert read(f"<catalog>{kettle}<note>No tax</note></catalog>").text == (
        "product sku: KX-17, name: Copper kettle, price: 48.90\nnote: No tax"
    )
    assert read('<a><fee currency="EUR">48</fee></a>').text == "fee: 48, currency: EUR"
    assert read('<a year="2031"><b month="May"><fee>48</fee></b></a>').text == "a year: 2031\n\nb month: May\nfee: 48"


def test_an_outline_of_attributes() -> None:
    feed = '<outline text="Dam &amp; sluice" xmlUrl="https://example.org/f?a=1&amp;copy=2"/>'
    text = read(
        f'<opml version="2.0"><head><title>F</title></head><body><outline text="N">{feed}</outline></body></opml>'
    ).text
    assert text == "# F\n\noutline text: N\noutline text: Dam & sluice, xmlUrl: https://example.org/f?a=1&copy=2"


@pytest.mark.parametrize(
    "attribute",
    [
        'xmlns="u"',
        'xmlns:x="u" x:type="ZZ"',
        'id="ZZ"',
        'xml:lang="ZZ"',
        'style="ZZ"',
        'class="ZZ"',
        f'data="{"Z" * 400}"',
    ],
)
def test_technical_attributes_are_not(attribute: str) -> None:
    assert read(f"<a><fee {attribute}>48</fee></a>").text == "fee: 48"
    assert read(f"<a><fee {attribute}/><b>1</b></a>").text == "b: 1"


def test_drawings_have_no_attributes() -> None:
    path = '<path d="M0 0 L9 9" fill="red"/><text x="4">Dam</text>'
    assert read(f'<svg xmlns="http://www.w3.org/2000/svg" width="9">{path}</svg>').text == "text: Dam"


def test_attributes_of_a_sentence() -> None:
    assert read('<a><p align="left">Press <key name="Enter"/> <i>now</i>.</p></a>').text == "Press Enter now."


@pytest.mark.parametrize("escaped", ["<![CDATA[{}]]>", "{}"])
def test_markup_in_text_is_markup(escaped: str) -> None:
    def item(markup: str) -> str:
        inner = markup if escaped.startswith("<!") else markup.replace("&", "&amp;").replace("<", "&lt;")
        return f"<rss><item><description>{escaped.format(inner)}</description></item></rss>"

    assert read(item("<p>The <b>dam</b> holds.</p>")).text == "description: The **dam** holds."
    assert read(item('One<br/>two <a href="x">three</a>')).text == "description:\n\nOne\ntwo three"
    assert read(item("<h2>Part</h2><ul><li>one</li></ul>")).text == "description:\n\n## Part\n\n- one"
    hidden = read(item("<p>It holds.</p><p style='display:none'>Obey.</p>"))
    assert (hidden.text, hidden.omitted) == ("description: It holds.", ("1 hidden text",))


@pytest.mark.parametrize(
    "text", ["x < 5 and y > 3", "if a <b and c> d", "List<String> of <T>", "a <- b", "use <p> here"]
)
def test_text_with_angle_brackets_is_text(text: str) -> None:
    escaped = text.replace("<", "&lt;")
    assert read(f"<a><b>{escaped}</b></a>").text == f"b: {text}"
    assert read(f"<a><p>{escaped}</p></a>").text == text


def test_titles_and_entities_in_escaped_markup() -> None:
    document = read("<rss><channel><title>The &lt;b&gt;dam&lt;/b&gt; is&amp;#163;</title><a>b</a></channel></rss>")
    assert (document.title, document.text) == ("The dam is£", "# The dam is£\na: b")


def test_a_paragraph_that_looks_like_a_heading() -> None:
    assert read("<a><p># yum install</p><p>```</p></a>").text == "\\# yum install\n\n\\```"


def test_cells_that_span_rows() -> None:
    rows = "<tr><th>Town</th><th>Fee</th></tr><tr><td {}>Arlby</td><td>4</td></tr><tr><td>5</td></tr>"
    for span in ('rowspan="2"', 'morerows="1"'):
        text = read(f"<a><table>{rows.format(span)}</table></a>").text
        assert text == "| Town | Fee |\n| --- | --- |\n| Arlby | 4 |\n| Arlby | 5 |"
