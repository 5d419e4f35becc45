"""Markdown's titles and headings, as CommonMark reads them."""

import pytest

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Document
from indexing.markdown import headings
from indexing.read.formats.load import load_bytes

WORDS = "The tape robot stands in the cellar, and nobody has seen it for a year. " * 6


def read(text: str, name: str = "a.md") -> Document:
    (document,) = load_bytes(text.encode(), name)
    return document


def paths(document: Document) -> list[str]:
    return [chunk.heading for chunk in Chunker(ChunkerSettings(64, 0, None)).chunks(document)[0]]


def test_a_fence_of_one_line_hides_no_headings() -> None:
    document = read(
        f"# Handbook\n\n```make install```\n\n## Backup\n\n{WORDS}\n\n```\n# restore\n```\n\n## Alarm\n\n{WORDS}"
    )
    assert paths(document)[-1] == "Handbook > Alarm"
    assert "Handbook > Backup" in paths(document)
    assert not [path for path in paths(document) if "restore" in path]


def test_underlined_headings() -> None:
    document = read(f"Handbook of the\nstore\n=====\n\n{WORDS}\n\nBackup\n---\n\n{WORDS}")
    assert document.title == "Handbook of the store"
    assert paths(document)[-1] == "Handbook of the store > Backup"


@pytest.mark.parametrize(
    "text", ["```sh\n# yum install\n```\n\nwords", "    # yum install\n\nwords", "<!--\n# no\n-->\nwords"]
)
def test_a_comment_is_no_title(text: str) -> None:
    assert read(text, "manual.md").title == "manual"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\nauthor: A\ntitle: 'The robot'\n---\n\n# Other\n", "The robot"),
        ("---\nauthor: A\n---\n\nwords", "a"),
        ("# The **robot** of `tape_1` and [that](http://x)\n\nwords", "The robot of tape_1 and that"),
        ("words\n\n---\n\nmore words", "a"),
        ("- # item\n\n> # quote\n\n# Real\n", "Real"),
        ("# ![robot](a.png) 5\\*3 <b>x</b>\n", "robot 5*3 x"),
        ("# <b></b>\n\n# Real\n", "Real"),
    ],
)
def test_titles(text: str, title: str) -> None:
    assert read(text).title == title


def test_a_line_under_words_of_a_page_is_no_heading() -> None:
    document = Document("a", "a", "", f"# Top\n\nRegards\n---\n\n{WORDS}", "text/html", {}, (), "")
    assert set(paths(document)) == {"Top"}


@pytest.mark.parametrize("above", ["", "<div>\n", "- words\n  ", "[a]: b\n", "    "])
def test_in_other_formats_a_heading_is_a_line_whatever_is_around_it(above: str) -> None:
    assert [heading.title for heading in headings(f"{above}# Deep", authored=False)] == ["Deep"]


def test_a_long_heading_keeps_its_markup() -> None:
    said = f"{'word ' * 61}**end**"
    assert [heading.title for heading in headings(f"# {said}\n", authored=True)] == [said]


def test_what_a_heading_of_another_format_says_is_text() -> None:
    (heading,) = headings("# The <b> tag\n", authored=False)
    assert heading.title == "The <b> tag"
