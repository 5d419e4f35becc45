"""The numbers of headings and lists in DOCX, as Word prints them."""

import io
import zipfile

from tests.indexing.read.test_formats import W, docx, one

_NUMBERING = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/numbering"


def level(index: int, form: str, text: str, more: str = "", start: int = 1) -> str:
    return (
        f'<w:lvl w:ilvl="{index}"><w:start w:val="{start}"/><w:numFmt w:val="{form}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


def numbered(body: str, *levels: str, nums: str = "", styles: str = "") -> bytes:
    """A DOCX with one list of these levels, used by number 1."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx(body))) as made, zipfile.ZipFile(out, "w") as other:
        for name in made.namelist():
            text = made.read(name).decode()
            if name == "word/_rels/document.xml.rels":
                rel = f'<Relationship Id="r2" Type="{_NUMBERING}" Target="numbering.xml"/>'
                text = text.replace("</Relationships>", f"{rel}</Relationships>")
            if name == "word/styles.xml" and styles:
                text = f"<w:styles {W}>{styles}</w:styles>"
            other.writestr(name, text)
        other.writestr(
            "word/numbering.xml",
            f'<w:numbering {W}><w:abstractNum w:abstractNumId="7">{"".join(levels)}</w:abstractNum>'
            f'<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>{nums}</w:numbering>',
        )
    return out.getvalue()


def item(text: str, index: int = 0, num: str = "1", style: str = "") -> str:
    style = f'<w:pStyle w:val="{style}"/>' if style else ""
    number = f'<w:numPr><w:ilvl w:val="{index}"/><w:numId w:val="{num}"/></w:numPr>' if num else ""
    return f"<w:p><w:pPr>{style}{number}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def text(content: bytes) -> str:
    return one(content, "a.docx").text


def test_headings_numbered_by_their_styles() -> None:
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="H{i}"><w:name w:val="heading {i}"/><w:pPr><w:numPr>'
        f'<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        for i in (1, 2)
    )
    levels = [
        level(0, "decimal", "%1", '<w:pStyle w:val="H1"/>'),
        level(1, "decimal", "%1.%2", '<w:pStyle w:val="H2"/>'),
    ]
    words = [("Parties", "H1"), ("Term", "H1"), ("Notice", "H2"), ("End", "H2"), ("Law", "H1"), ("Court", "H2")]
    body = "".join(item(word, num="", style=style) for word, style in words)
    assert text(numbered(body, *levels, styles=styles)).split("\n\n") == [
        "# 1 Parties", "# 2 Term", "## 2.1 Notice", "## 2.2 End", "# 3 Law", "## 3.1 Court",
    ]  # fmt: skip


def test_a_list_goes_on_after_a_paragraph() -> None:
    body = item("one") + item("two") + "<w:p><w:r><w:t>between</w:t></w:r></w:p>" + item("three")
    assert text(numbered(body, level(0, "decimal", "%1."))) == "1. one\n2. two\n\nbetween\n\n3. three"


def test_start_override_begins_anew_once() -> None:
    start = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
    nums = f'<w:num w:numId="2"><w:abstractNumId w:val="7"/>{start}</w:num>'
    body = item("a") + item("b", num="2") + item("c", num="2")
    assert text(numbered(body, level(0, "decimal", "(%1)"), nums=nums)) == "(1) a\n(5) b\n(6) c"


def test_letters_romans_and_bullets_below_a_number() -> None:
    levels = [
        level(0, "upperRoman", "Article %1"), level(1, "lowerLetter", "%2)"), level(2, "bullet", "\u2022"),
        level(3, "decimal", "%1.%4", "<w:isLgl/>"),
    ]  # fmt: skip
    body = item("x") + item("y", 1) + item("z", 1) + item("dot", 2) + item("u") + item("v", 1) + item("w", 3)
    lines = [line.strip() for line in text(numbered(body, *levels)).split("\n")]
    assert lines == ["Article I x", "a) y", "b) z", "- dot", "Article II u", "a) v", "2.1 w"]


def test_a_level_starts_where_it_says_and_restarts_only_where_it_says() -> None:
    levels = [level(0, "decimal", "%1."), level(1, "decimal", "%2", '<w:lvlRestart w:val="0"/>', start=3)]
    body = item("x") + item("y", 1) + item("z") + item("u", 1)
    lines = [line.strip() for line in text(numbered(body, *levels)).split("\n")]
    assert lines == ["1. x", "3 y", "2. z", "4 u"]


def test_number_zero_takes_a_paragraph_out_of_its_list() -> None:
    style = (
        '<w:style w:type="paragraph" w:styleId="L"><w:name w:val="L"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr>'
        "</w:pPr></w:style>"
    )
    body = item("in", num="", style="L") + item("out", num="0", style="L") + item("in", num="", style="L")
    found = text(numbered(body, level(0, "decimal", "%1.", '<w:pStyle w:val="L"/>'), styles=style))
    assert [line for line in found.split("\n") if line] == ["1. in", "out", "2. in"]
