"""Powers, indices and the marks of notes, in every format that becomes Markdown by way of HTML."""

import pytest

from indexing.read.formats.html import to_markdown
from tests.indexing.read.test_formats import docx, one, zipped

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("10<sup>6</sup> cells", "10^6 cells"),
        ("2<sup>10</sup> units", "2^10 units"),
        ("3 x 10<sup>\u22124</sup>", "3 x 10^-4"),
        ("<b>10</b><sup>6</sup>", "**10**^6"),
        ("40 m<sup>2</sup>; 9.8 m s<sup>-2</sup>", "40 m^2; 9.8 m s^-2"),
        ("e<sup>x</sup>, (a+b)<sup>n+1</sup>", "e^x, (a+b)^(n+1)"),
        ("x<sub>1</sub><sup>2</sup>", "x1^2"),
        ("CO<sub>2</sub> and C<sub>6</sub>H<sub>12</sub>O<sub>6</sub>", "CO2 and C6H12O6"),
        ("Ca<sup>2+</sup> and <sup>14</sup>C", "Ca2+ and 14C"),
        ("1011<sub>2</sub>, log<sub>2</sub>8", "1011_2, log2 8"),
        ("the 1<sup>st</sup>, 2<sup>nd</sup> and 1<sup>er</sup>", "the 1st, 2nd and 1er"),
        ("Acme<sup>TM</sup> and M<sup>me</sup> Curie", "AcmeTM and Mme Curie"),
        ("as shown<sup>1</sup> before", "as shown [1] before"),
        ("as shown.<sup>12,13</sup> Then", "as shown. [12,13] Then"),
        ('in 2019<sup><a href="#fn3">3</a></sup>', "in 2019 [3]"),
        ('in 2019<a href="#fn3"><sup>3</sup></a>', "in 2019 [3]"),
        ('total<sup class="reference"><a href="/w#n">[4]</a></sup>', "total [4]"),
        ("<sup>1</sup>Department of Physics", "[1] Department of Physics"),
        ("the value<sup>a</sup> and sup<sup></sup>", "the value [a] and sup"),
    ],
)
def test_superscripts_are_spelled(html: str, text: str) -> None:
    assert to_markdown(f"<p>{html}</p>") == text


def test_powers_of_a_page_whose_article_is_cut_out() -> None:
    words = "<p>The colony grows in the pond below the old mill and doubles each day until the autumn comes.</p>" * 8
    menu = "<div class='menu'>" + "<a href='/x'>Item</a> " * 60 + "</div>"
    page = f"<html><body>{menu}<article>{words}<p>It holds 10<sup>6</sup> cells.</p></article></body></html>"
    assert "10^6 cells" in one(page.encode(), "a.html").text


def test_powers_of_a_mail_and_of_a_word_file() -> None:
    mail = b"Subject: s\r\nContent-Type: text/html\r\n\r\n<p>It holds 10<sup>6</sup> cells.</p>"
    assert "10^6 cells" in one(mail, "a.eml").text
    above = "<w:rPr><w:vertAlign w:val='superscript'/></w:rPr>"
    body = f"<w:p><w:r><w:t>It holds 10</w:t></w:r><w:r>{above}<w:t>6</w:t></w:r><w:r><w:t> cells</w:t></w:r></w:p>"
    assert one(docx(body), "a.docx").text == "It holds 10^6 cells"


def test_powers_of_a_book() -> None:
    book = zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": (
                '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
                'full-path="a.opf"/></rootfiles></container>'
            ),
            "a.opf": (
                '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="c" href="c.xhtml" '
                'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="c"/></spine></package>'
            ),
            "c.xhtml": "<html><body><p>It holds 10<sup>6</sup> cells.</p></body></html>",
        }
    )
    assert one(book, "a.epub").text == "It holds 10^6 cells."


def test_many_empty_scripts_take_linear_time() -> None:
    assert to_markdown("<p>" + "<b></b>" * 20_000 + "10<sup>6</sup>" * 2_000 + "</p>").count("^6") == 2_000
