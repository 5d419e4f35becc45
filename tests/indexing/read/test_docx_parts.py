"""What mammoth passes over in DOCX: fields, text boxes, running lines, embedded documents."""

import io
import zipfile
from collections.abc import Mapping

import pytest

from indexing.document import Document
from tests.indexing.read.test_formats import W, docx, one

_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MORE = (
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    f'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" xmlns:r="{_R}"'
)


def run(text: str, properties: str = "") -> str:
    return f'<w:r>{properties}<w:t xml:space="preserve">{text}</w:t></w:r>'


def with_parts(body: str, parts: Mapping[str, tuple[str, bytes]], main: str = "document.xml") -> bytes:
    """A DOCX with further parts: name -> (type of relationship, content)."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx(body))) as made, zipfile.ZipFile(out, "w") as other:
        for name in made.namelist():
            text = made.read(name).decode().replace("document.xml", main)
            if name == "word/_rels/document.xml.rels":
                rels = (
                    f'<Relationship Id="{name}" Type="{_R}/{kind}" Target="{name}"/>'
                    for name, (kind, _) in parts.items()
                )
                text = text.replace("</Relationships>", f"{''.join(rels)}</Relationships>")
            other.writestr(name.replace("document.xml", main), text)
        for name, (_, content) in parts.items():
            other.writestr(f"word/{name}", content)
    return out.getvalue()


def read(body: str) -> str:
    return one(docx(body), "a.docx").text


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (f"<w:fldSimple w:instr=' MERGEFIELD Fee '>{run('4,250 euros')}</w:fldSimple>", "x4,250 eurosy"),
        (f"<w:bdo w:val='rtl'>{run('bdo')}</w:bdo><w:dir w:val='rtl'>{run('dir')}</w:dir>", "xbdodiry"),
        (
            f"<w:r><w:ruby><w:rubyPr/><w:rt>{run('reading')}</w:rt><w:rubyBase>{run('base')}</w:rubyBase></w:ruby></w:r>",
            "xbase(reading)y",
        ),
        ("<w:r><w:cr/></w:r>", "x\ny"),
        (f"<w:fldSimple w:instr='a'><w:fldSimple w:instr='b'>{run('in')}</w:fldSimple></w:fldSimple>", "xiny"),
    ],
)
def test_wrappers_are_read(inner: str, text: str) -> None:
    found = read(f"<w:p>{run('x')}{inner}{run('y')}</w:p>")
    assert "\n".join(line.strip() for line in found.split("\n")) == text


def box(text: str) -> str:
    return f"<w:txbxContent><w:p>{run(text)}</w:p></w:txbxContent>"


def test_text_boxes_are_read_once_behind_their_paragraph() -> None:
    choice = f"<mc:Choice Requires='wps'><w:drawing><wps:wsp><wps:txbx>{box('One')}</wps:txbx></wps:wsp></w:drawing>"
    fallback = f"<mc:Fallback><w:pict><v:shape><v:textbox>{box('Two')}</v:textbox></v:shape></w:pict></mc:Fallback>"
    alternatives = (
        f"<mc:AlternateContent {MORE}>{choice}</mc:Choice></mc:AlternateContent>",
        f"<mc:AlternateContent {MORE}>{choice.replace('One', 'Two')}</mc:Choice>{fallback}</mc:AlternateContent>",
        f"<mc:AlternateContent {MORE}>{choice.replace('One', 'Three')}</mc:Choice><mc:Fallback/></mc:AlternateContent>",
    )
    body = "".join(f"<w:p>{run('at')}<w:r>{each}</w:r></w:p>" for each in alternatives) + f"<w:p>{run('end')}</w:p>"
    assert read(body).split("\n\n") == ["at", "One", "at", "Two", "at", "Three", "end"]


def test_running_lines_are_read_once_without_page_numbers() -> None:
    page = f"<w:fldSimple w:instr=' PAGE '>{run('7')}</w:fldSimple>"
    complex_page = (
        "<w:r><w:fldChar w:fldCharType='begin'/></w:r><w:r><w:instrText> NUMPAGES </w:instrText></w:r>"
        f"<w:r><w:fldChar w:fldCharType='separate'/></w:r>{run('9')}<w:r><w:fldChar w:fldCharType='end'/></w:r>"
    )
    header = f"<w:hdr {W}><w:p>{run('Contract 17, draft')}</w:p></w:hdr>".encode()
    footer = f"<w:ftr {W}><w:p>{run('Page ')}{page}{run(' of ')}{complex_page}</w:p><w:p>{run('Acme')}</w:p></w:ftr>"
    parts = {"h1.xml": ("header", header), "h2.xml": ("header", header), "f.xml": ("footer", footer.encode())}
    content = with_parts(f"<w:p>{run('Text')}</w:p><w:sectPr/>", parts)
    assert one(content, "a.docx").text == "Text\n\nHeader: Contract 17, draft\n\nFooter: Acme"


def test_equations_of_a_document_by_another_name() -> None:
    math = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    body = f"<w:p>{run('Area')}<m:oMath {math}><m:r><m:t>A=b</m:t></m:r></m:oMath></w:p>"
    assert one(with_parts(body, {}, main="document2.xml"), "a.docx").text == "Area $A=b$"


def chunked(parts: Mapping[str, bytes]) -> Document:
    places = "".join(f'<w:altChunk {MORE} r:id="{name}"/>' for name in parts)
    body = f"<w:p>{run('before')}</w:p>{places}<w:p>{run('after')}</w:p>"
    return one(with_parts(body, {name: ("aFChunk", content) for name, content in parts.items()}), "a.docx")


def test_embedded_documents_are_read_in_their_place() -> None:
    parts = {"a.html": b"<p>An <b>HTML</b> part</p>", "b.txt": b"A text", "c.docx": docx(f"<w:p>{run('Inner')}</w:p>")}
    found = chunked(parts)
    assert found.text.split("\n\n") == ["before", "An **HTML** part", "A text", "Inner", "after"]
    assert found.omitted == ()


def test_what_is_not_read_is_said() -> None:
    found = chunked({"a.bin": b"?", "b.bin": b"?"})
    assert (found.text, found.omitted) == ("before\n\nafter", ("2 embedded documents",))


def test_a_superscript_by_style() -> None:
    styles = (
        f"<w:styles {W}><w:style w:type='character' w:styleId='Up'><w:name w:val='Up'/><w:rPr>"
        "<w:vertAlign w:val='superscript'/></w:rPr></w:style></w:styles>"
    )
    body = "<w:p>" + run("10") + run("6", "<w:rPr><w:rStyle w:val='Up'/></w:rPr>") + "</w:p>"
    content = docx(body)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as made, zipfile.ZipFile(out, "w") as other:
        for name in made.namelist():
            other.writestr(name, styles if name == "word/styles.xml" else made.read(name))
    assert one(out.getvalue(), "a.docx").text == "10^6"


def test_marks_of_places_in_a_text_are_dropped() -> None:
    assert read(f"<w:p>{run(chr(0xFDD2) + '0' + chr(0xFDD3))}</w:p>") == "0"
