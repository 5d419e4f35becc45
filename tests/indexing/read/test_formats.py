"""Each format from a file made here; hostile files; and, where it is present, a shared folder of real ones."""

import asyncio
import csv
import hashlib
import io
import json
import os
import random
import zipfile
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path

import pytest

from indexing.chunk import ChunkerSettings
from indexing.document import Document
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Limits
from indexing.read.formats.load import load, load_bytes
from indexing.read.pool import Parsers, ParserSettings

FORMATS = Path(__file__).parents[4] / "shared/data/formats"


def one(content: bytes, name: str, limits: Limits | None = None) -> Document:
    (document,) = load_bytes(content, name, limits)
    return document


def refusal(content: bytes, name: str, limits: Limits | None = None) -> str:
    with pytest.raises(UnreadableError) as caught:
        list(load_bytes(content, name, limits))
    return str(caught.value)


def zipped(parts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text a page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx(body: str) -> bytes:
    return zipped(
        {
            "[Content_Types].xml": (
                '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
                '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
                'wordprocessingml.document.main+xml"/></Types>'
            ),
            "_rels/.rels": (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
                'Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
                'Target="word/document.xml"/></Relationships>'
            ),
            "word/styles.xml": (
                f'<w:styles {W}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/>'
                "</w:style></w:styles>"
            ),
            "word/_rels/document.xml.rels": (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
                'Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" '
                'Target="styles.xml"/></Relationships>'
            ),
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        }
    )


def paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def test_pdf_keeps_its_pages() -> None:
    document = one(pdf("First page here", "Second page there"), "a.pdf")
    assert document.text == "First page here\n\nSecond page there"
    assert bisect_right(document.pages, document.text.index("there")) == 2
    assert document.title == "a"
    assert document.media_type == "application/pdf"


def lines_pdf(*pages: list[tuple[int, str]]) -> bytes:
    """Each page of lines, each line of a font size."""
    bodies = []
    for page in pages:
        at = 740
        body = ""
        for size, text in page:
            at -= 2 * size
            body += f") Tj ET BT /F1 {size} Tf 1 0 0 1 72 {at} Tm ({text}"
        bodies.append(body)
    return pdf(*bodies)


def test_pdf_lines_that_are_set_larger_are_headings() -> None:
    text = [(10, f"Line {i} of the text that says this and that.") for i in range(12)]
    content = lines_pdf(
        [(20, "Annual Report"), (14, "Results"), *text, (8, "page 1")],
        [(14, "Outlook of"), (14, "the year"), *text, (8, "page 2")],
    )
    document = one(content, "r.pdf")
    headings = [line for line in document.text.splitlines() if line.startswith("#")]
    assert headings == ["# Annual Report", "## Results", "## Outlook of the year"]
    assert document.title == "Annual Report"


def test_pdf_running_titles_are_no_headings() -> None:
    text = [(10, f"Line {i} of the text that says this and that.") for i in range(12)]
    pages = [[(14, "ACME Handbook"), (14, f"Part {'ABCDEFGH'[i]} begins"), *text] for i in range(8)]
    headings = [line for line in one(lines_pdf(*pages), "r.pdf").text.splitlines() if line.startswith("#")]
    assert headings == [f"# Part {letter} begins" for letter in "ABCDEFGH"]


def test_pdf_lines_of_a_list_and_addresses_are_no_headings() -> None:
    text = [(10, f"Line {i} of the text that says this and that.") for i in range(16)]
    large = [(20, "On Bees"), (14, "{ann, bob}@hive.example"), (14, "- Keywords"), (14, "Foraging - a survey")]
    headings = [line for line in one(lines_pdf([*large, *text]), "r.pdf").text.splitlines() if line.startswith("#")]
    assert headings == ["# On Bees", "## Foraging - a survey"]


def test_docx_becomes_markdown_with_headings_and_rows() -> None:
    cell = "<w:tc>{}</w:tc>".format
    row = "<w:tr>{}</w:tr>".format
    header = row(cell(paragraph("Name")) + cell(paragraph("Age")))
    table = f"<w:tbl>{header}{row(cell(paragraph('Bob')) + cell(paragraph('7')))}</w:tbl>"
    document = one(docx(paragraph("Report", "Heading1") + paragraph("All is well.") + table), "r.docx")
    assert document.text == "# Report\n\nAll is well.\n\n| Name | Age |\n| --- | --- |\n| Bob | 7 |"
    assert document.title == "Report"


def test_content_decides_over_the_extension() -> None:
    assert one(docx(paragraph("Words")), "wrong.txt").text == "Words"
    assert one(pdf("Words"), "noextension").text == "Words"
    assert one(b"<!DOCTYPE html><p>Some words of a page</p>", "page.xml").media_type == "text/html"


def test_html_article_without_its_navigation() -> None:
    html = "<html><head><title>Bees</title></head><body><nav>Home About</nav><h1>Bees</h1>"
    html += "<p>Bees make <b>honey</b>.</p>"
    html += "<table><tr><th>Kind</th><th>Size</th></tr><tr><td>Mason</td><td>12 mm</td></tr></table>"
    html += "<pre>a = 1\n  b = 2</pre><script>alert(1)</script></body></html>"
    document = one(html.encode(), "bees.html")
    assert document.title == "Bees"
    assert "# Bees\n\nBees make **honey**." in document.text
    assert "| Mason | 12 mm |" in document.text
    assert "a = 1\n  b = 2" in document.text
    assert "Home" not in document.text
    assert "alert" not in document.text


def test_html_in_a_declared_encoding() -> None:
    html = '<meta charset="windows-1251"><p>Зимой пчёлы спят в ульях</p>'.encode("cp1251")
    assert one(html, "p.html").text == "Зимой пчёлы спят в ульях"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_text_in_any_encoding(encoding: str) -> None:
    said = "Größe: für über vierzig Straßen gemessen, wie man sie übt."
    assert one(said.encode(encoding), "a.txt").text == said


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("cp1252", "El niño"), ("cp1252", "à février"), ("cp1252", "Zürich"), ("cp1252", "Größe"),
        ("cp1252", "“Où est l\u2019œuvre d\u2019été ?” naïve…"), ("cp1252", "5 µm Spaltmaß, Ø 20 mm, ± 0,1 mm, 20 °C"),
        ("cp1252", "Bjørn spiser rødgrød med fløde på øen."), ("cp1252", "Não há informação disponível."),
        ("cp1250", "Kraków, ul. Długa 5"), ("cp1250", "Zażółć gęślą jaźń"),
        ("cp1250", "Právě probíhá oprava, která potrvá do konce týdne. Děkujeme za pochopení a přejeme hezký den."),
        ("cp1251", "Зимой пчёлы спят в ульях"), ("cp1253", "Καλημέρα κόσμε"), ("cp1256", "مرحبا بالعالم"),
        ("shift_jis", "これは日本語の文章です。今日は天気がいいですね。"),
        ("euc_kr", "한국어 문장입니다. 오늘 날씨가 좋네요."),
        ("gb18030", "这是一个中文句子,今天天气很好。"), ("big5", "這是一個中文句子,今天天氣很好。"),
    ],
)  # fmt: skip
def test_short_text_in_an_old_encoding(encoding: str, said: str) -> None:
    assert one(said.encode(encoding), "a.txt").text == said


@pytest.mark.parametrize("said", ["El niño", "à février", "Zürich", "Größe", "5 µm Spaltmaß, Ø 20 mm, 20 °C"])
def test_a_short_page_in_an_encoding_that_it_does_not_declare(said: str) -> None:
    assert one(f"<p>{said}</p>".encode("cp1252"), "a.html").text == said


def test_markdown_title_is_its_front_matter_or_first_heading() -> None:
    assert one(b"---\ntitle: Front\n---\n# Head\n", "a.md").title == "Front"
    assert one(b"# Head *one*\n\ntext", "a.md").title == "Head one"
    assert one(b"text only", "notes.md").title == "notes"


def test_source_code_keeps_its_lines() -> None:
    code = "def f(x):\n    return x\n\n\nclass A:\n    pass"
    document = one(code.encode(), "a.py")
    assert document.text.splitlines()[1] == "    return x"
    assert document.media_type == "text/x-python"


def test_rst_org_and_asciidoc_headings() -> None:
    assert one(b"Top\n===\n\nSub\n---\ntext", "a.rst").text == "# Top\n\n## Sub\ntext"
    assert one(b"#+TITLE: T\n* Top\n** Sub\ntext", "a.org").text == "# T\n# Top\n## Sub\ntext"
    assert one(b"= Top\n\n== Sub\ntext", "a.adoc").text == "# Top\n\n## Sub\ntext"


def test_csv_rows_name_their_columns() -> None:
    small = one(b"name;age\nAnn;31\nBob;7\n", "a.csv")
    assert small.text == "| name | age |\n| --- | --- |\n| Ann | 31 |\n| Bob | 7 |"
    large = one(("name,city\n" + "\n".join(f"n{i},c{i}" for i in range(100))).encode(), "b.csv")
    assert large.text.splitlines()[41] == "name: n41, city: c41"


def test_jsonl_is_one_document_a_record() -> None:
    lines = [
        {"_id": "d1", "title": "T1", "text": "First.", "year": 1999, "metadata": {"by": "me"}},
        {"_id": "d2", "text": "Second."},
        {"_id": "d3", "text": ""},
    ]
    first, second = load_bytes("\n".join(map(json.dumps, lines)).encode(), "c.jsonl")
    assert (first.source, first.title, first.text) == ("c.jsonl#record=d1", "T1", "First.")
    assert dict(first.metadata) == {"by": "me", "year": 1999, "record_id": "d1"}
    assert (second.title, second.text) == ("c", "Second.")
    assert first.id != second.id


def test_jsonl_gives_the_good_lines_then_says_which_are_not() -> None:
    stream = load_bytes(b'{"text": "a"}\nnonsense\n{"text": "b"}\n', "c.jsonl")
    assert [next(stream).text, next(stream).text] == ["a", "b"]
    with pytest.raises(UnreadableError, match=r"1 of 3 lines are not JSON.*line 2"):
        next(stream)


def test_records_with_the_same_key_stay_apart() -> None:
    sources = [d.source for d in load_bytes(b'{"id":1,"text":"a"}\n{"id":1,"text":"b"}\n', "c.jsonl")]
    assert len(set(sources)) == 2


def test_json_list_of_records_and_any_other_json() -> None:
    assert [d.text for d in load_bytes(b'[{"text": "a"}, {"text": "b"}]', "c.json")] == ["a", "b"]
    document = one(json.dumps({"a": {"b": [1, 2]}, "v": [0.1] * 300}).encode(), "c.json")
    assert document.text == "a:\n  b:\n    - 1\n    - 2\nv:\n  (300 numbers)"
    assert "line 1, column 2" in refusal(b"{broken", "c.json")


def test_lone_surrogates_do_not_reach_the_index() -> None:
    one(b'{"text": "a\\ud800b"}', "c.jsonl").text.encode("utf-8")


def test_mail_with_attachment() -> None:
    raw = (
        "From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: =?utf-8?q?Caf=C3=A9?=\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/html\n\n<p>See <b>you</b> there</p>\n'
        '--x\nContent-Type: application/pdf\nContent-Disposition: attachment; filename="menu.pdf"\n\nabc\n--x--\n'
    )
    document = one(raw.encode(), "m.eml")
    assert document.title == "Café"
    assert "From: Ann <ann@example.org>" in document.text
    assert "See **you** there" in document.text
    assert document.text.endswith("Attachments: menu.pdf")


def mailed(number: int, body: str) -> bytes:
    head = f"From a@x.org Mon Jan  1 00:00:00 2024\nFrom: a@x.org\nSubject: Mail {number}\nMessage-ID: <m{number}@x>\n"
    return f"{head}\n{body}\n\n".encode()


@pytest.mark.parametrize("name", ["inbox.mbox", "inbox"])
def test_each_mail_of_a_mailbox_is_a_document(name: str) -> None:
    body = "First body.\n\nFrom here on it is prose.\n>From the start, quoted."
    found = list(load_bytes(mailed(1, body) + mailed(2, "Second body.") + mailed(3, "Third."), name))
    assert [document.title for document in found] == ["Mail 1", "Mail 2", "Mail 3"]
    assert [document.source for document in found] == [f"{name}#record=m{n}@x" for n in (1, 2, 3)]
    assert found[0].text.endswith("First body.\n\nFrom here on it is prose.\nFrom the start, quoted.")
    assert {document.media_type for document in found} == {"application/mbox"}
    (windows,) = load_bytes(mailed(1, "One").replace(b"\n", b"\r\n"), name)
    assert (windows.title, windows.source) == ("Mail 1", f"{name}#record=m1@x")


def test_a_mail_that_cannot_be_read_is_told_after_the_others() -> None:
    secret = mailed(2, "?").replace(b"Subject", b"Content-Type: application/pkcs7-mime\nSubject")
    found = load_bytes(mailed(1, "One") + secret + mailed(3, "Three"), "inbox.mbox")
    assert [next(found).title, next(found).title] == ["Mail 1", "Mail 3"]
    with pytest.raises(UnreadableError, match=r"1 of 3 mails cannot be read, the first: mail 2 \(encrypted"):
        next(found)


def test_slides_are_pages() -> None:
    a = "http://schemas.openxmlformats.org/drawingml/2006/main"
    p = "http://schemas.openxmlformats.org/presentationml/2006/main"

    def slide(title: str, body: str) -> str:
        words = "<p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody>"
        shape = "<p:sp><p:nvSpPr><p:nvPr>{}</p:nvPr></p:nvSpPr>" + words + "</p:sp>"
        shapes = shape.format("", body) + shape.format('<p:ph type="title"/>', title)
        return f'<p:sld xmlns:a="{a}" xmlns:p="{p}"><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>'

    content = zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "ppt/slides/slide10.xml": slide("Ten", "last"),
            "ppt/slides/slide2.xml": slide("Two", "first"),
        }
    )
    document = one(content, "s.pptx")
    assert document.text == "## Two\n\nfirst\n\n## Ten\n\nlast"
    assert document.pages == (0, document.text.index("## Ten"))


def test_epub_and_odt() -> None:
    epub = zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>',
            "o/p.opf": (
                '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Tale</dc:title></metadata>'
                '<manifest><item id="b" href="b.xhtml"/><item id="a" href="a.xhtml"/></manifest>'
                '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
            ),
            "o/a.xhtml": "<html><body><h1>One</h1><p>Begin.</p></body></html>",
            "o/b.xhtml": "<html><body><h1>Two</h1><p>End.</p></body></html>",
        }
    )
    assert one(epub, "t.epub").text == "# One\n\nBegin.\n\n# Two\n\nEnd."
    assert one(epub, "t.epub").title == "Tale"
    base = "urn:oasis:names:tc:opendocument:xmlns"
    names = f'xmlns:office="{base}:office:1.0" xmlns:text="{base}:text:1.0"'
    odt = zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": (
                f"<office:document-content {names}><office:body><office:text>"
                '<text:h text:outline-level="2">Part</text:h>'
                "<text:p>Some<text:s/>words</text:p><text:p># no part</text:p><text:p>```</text:p>"
                "</office:text></office:body></office:document-content>"
            ),
        }
    )
    assert one(odt, "t.odt").text == "## Part\n\nSome words\n\n\\# no part\n\n\\```"


def test_a_table_inside_a_cell_is_read_once() -> None:
    office = "urn:oasis:names:tc:opendocument:xmlns"
    row = "<b:table-row><b:table-cell>{}</b:table-cell><b:table-cell><t:p>right</t:p></b:table-cell></b:table-row>"
    inner = "<b:table>" + row.format("<t:p>inner</t:p>").replace("right", "end") + "</b:table>"
    rows = f"<b:table-header-rows>{row.format('<t:p>left</t:p>')}</b:table-header-rows>{row.format(inner)}"
    content = (
        f'<o:document-content xmlns:o="{office}:office:1.0" xmlns:t="{office}:text:1.0" xmlns:b="{office}:table:1.0">'
        f"<o:body><o:text><b:table>{rows}</b:table></o:text></o:body></o:document-content>"
    )
    odt = one(zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content}), "t.odt")
    assert [odt.text.count(word) for word in ("left", "right", "inner", "end")] == [1, 2, 1, 1]
    xml = (
        "<doc><table><tbody><tr><td>left</td><td>right</td></tr><tr><td>"
        "<table><tbody><tr><td>inner</td><td>end</td></tr></tbody></table>"
        "</td><td>x</td></tr></tbody></table></doc>"
    )
    assert [one(xml.encode(), "t.xml").text.count(word) for word in ("left", "inner", "end")] == [1, 1, 1]


def test_xml_and_subtitles_and_rtf() -> None:
    section = b"<sec><title>Methods</title><p>We <i>looked</i>.</p></sec>"
    jats = b"<article><front><article-title>On bees</article-title></front>" + section + b"</article>"
    document = one(jats, "a.xml")
    assert document.title == "On bees"
    assert "# Methods\n\nWe looked." in document.text
    vtt = b"WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\n<v Ann>Hello</v>\n\n00:00:03.000 --> 00:00:04.000\nthere"
    assert one(vtt, "a.vtt").text == "Ann: Hello\nthere"
    assert one(rb"{\rtf1\ansi Hello \b bold\b0\par # there}", "a.rtf").text == "Hello bold\n\\# there"


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "a.txt", "empty"),
        (b" \n\n ", "a.txt", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.txt", "an image"),
        (b"\x7fELF\2\1\1\0\0\0", "a.md", "a program"),
        (b"\x1f\x8b\x08\0\0\0", "a.txt", "an archive"),
        (bytes(range(256)) * 40, "a.txt", "binary data"),
        (b"%PDF-1.4\nnothing", "a.pdf", "broken PDF"),
        (pdf(""), "scan.pdf", "OCR is off"),
        (zipped({"a": "x"}), "a.zip", "an archive"),
        (b"PK\x03\x04 and then nonsense", "a.docx", "zip archive cannot be opened"),
        (b"<html><body><script>draw()</script></body></html>", "a.html", "no text"),
    ],
)
def test_refusals_say_why(content: bytes, name: str, reason: str) -> None:
    assert reason in refusal(content, name)


def test_a_text_about_magic_numbers_is_a_text() -> None:
    assert one(b"ID3 tags are what OTTO wrote.", "a.txt").text.startswith("ID3")


def test_limits() -> None:
    small = Limits(max_bytes=1000, max_chars=100, max_pages=2, max_part_bytes=5000, max_record_bytes=50)
    assert "1,000 bytes" in refusal(b"x" * 1001, "a.txt", small)
    assert "100" in refusal(b"x " * 200, "a.txt", small)
    assert "3 pages" in refusal(pdf("a", "b", "c"), "a.pdf", Limits(max_pages=2))
    assert "line 2" in refusal(b'{"text": "a"}\n' + b"x" * 60, "a.jsonl", small)


def test_zip_bomb_is_refused_by_what_it_would_unpack_to() -> None:
    bomb = docx(paragraph("a" * 2_000_000))
    assert len(bomb) < 10_000
    assert "too large" in refusal(bomb, "a.docx", Limits(max_part_bytes=1_000_000))


def test_billion_laughs_stay_unexpanded() -> None:
    entities = "".join('<!ENTITY l{} "{}">'.format(i, f"&l{i - 1};" * 10) for i in range(1, 10))
    document = f'<!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><x><p>safe &l9; words</p></x>'
    assert len(one(document.encode(), "a.xml").text) < 100


def test_external_entities_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    xml = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]><x><p>words &e;</p></x>'
    assert "SECRET" not in one(xml.encode(), "a.xml").text


def test_load_refuses_links_pipes_and_folders(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("words")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    for name in ("link.txt", "pipe.txt", ".", "missing.txt"):
        with pytest.raises(UnreadableError):
            list(load(tmp_path / name))
    (document,) = load(tmp_path / "real.txt")
    assert document.content_hash == hashlib.sha256(b"words").hexdigest()
    assert document.source == str(tmp_path / "real.txt")


M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def test_equations_of_word_are_spelled() -> None:
    def text(word: str) -> str:
        return f"<m:r><m:t>{word}</m:t></m:r>"

    square = f"<m:sSup><m:e>{text('r')}</m:e><m:sup>{text('2')}</m:sup></m:sSup>"
    half = f"<m:f><m:num>{text('1')}</m:num><m:den>{text('2')}</m:den></m:f>"
    body = f"<w:p {M}><w:r><w:t>Area</w:t></w:r><m:oMath>{text('A=')}{half}{square}</m:oMath></w:p>"
    assert one(docx(body), "a.docx").text == r"Area $A=\frac{1}{2}r^{2}$"


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, the end cut off, or a piece repeated."""
    at = draw.randrange(len(content))
    if draw.random() < 0.2:
        return content[:at]
    if draw.random() < 0.2:
        return content[:at] + content[at : at + 300] * 3 + content[at:]
    changed = bytearray(content)
    for _ in range(draw.randint(1, 20)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


async def unforeseen(files: Mapping[str, bytes], mutants: int, spooled: Path) -> list[str]:
    """What a loader did with damaged files that it should not: an error that it does not name, or no end."""
    settings = ParserSettings(ChunkerSettings(64, 0, None), Limits(), 1, 20, 2 * 2**30)
    draw = random.Random(5)
    wrong = []
    async with Parsers(settings) as parsers:
        for number in range(mutants):
            name = draw.choice(sorted(files))
            await asyncio.to_thread(spooled.write_bytes, mutated(files[name], draw))
            try:
                [batch async for batch in parsers.upload(spooled, name)]
            except UnreadableError as exc:
                if str(exc).startswith(("cannot be read", "given up")):
                    wrong.append(f"{number} {name}: {exc}")
    return wrong


@pytest.mark.anyio
async def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    made = {
        "a.pdf": pdf("First page", "Second page"),
        "a.docx": docx(paragraph("Report", "Heading1") + paragraph("All is well.")),
        "a.html": b"<html><title>T</title><body><h1>H</h1><table><tr><td>x</td></tr></table></body></html>",
        "a.eml": b"From: a@b\nSubject: =?utf-8?q?x?=\nContent-Type: text/html; charset=utf-8\n\n<p>words</p>",
        "a.xml": b"<?xml version='1.0'?><a><title>T</title><p>words <b>bold</b></p></a>",
        "a.csv": b"a;b\n1;2\n3;4\n",
        "a.json": b'{"a": [1, 2, {"b": "c"}]}',
        "a.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
        "a.rtf": rb"{\rtf1\ansi Hello \b bold\b0\par there}",
        "a.rst": b"Top\n===\n\ntext\n",
    }
    assert await unforeseen(made, 200, tmp_path / "spooled") == []


def shared_files() -> list[dict[str, str]]:
    if not (FORMATS / "manifest.csv").is_file():
        return []
    with (FORMATS / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.anyio
@pytest.mark.skipif(not shared_files(), reason=f"no shared documents at {FORMATS}")
async def test_damaged_documents_of_every_suffix(tmp_path: Path) -> None:
    paths = sorted((FORMATS / row["path"] for row in shared_files()), key=lambda path: -path.stat().st_size)
    smallest = {f"a{path.suffix.lower()}": path for path in paths if path.stat().st_size}
    files = {name: path.read_bytes() for name, path in smallest.items()}
    assert await unforeseen(files, 150, tmp_path / "spooled") == []


@pytest.mark.skipif(not shared_files(), reason=f"no shared documents at {FORMATS}")
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_every_shared_file_gives_text_or_a_reason(step: int) -> None:
    expected = {"ok": "text", "no-text": "no text:", "password": "protected by a password", "unopenable": "broken PDF:"}
    wrong = []
    for row in shared_files()[::step]:
        try:
            documents = list(load(FORMATS / row["path"]))
            outcome = "text" if any(d.text for d in documents) else "nothing"
        except UnreadableError as exc:
            outcome = str(exc)
        if row["status"] and not outcome.startswith(expected[row["status"]]):
            wrong.append(f"{row['path']}: {outcome}")
        if outcome == "nothing":
            wrong.append(f"{row['path']}: neither text nor a reason")
    assert wrong == []
