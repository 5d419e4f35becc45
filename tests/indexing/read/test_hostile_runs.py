"""Long runs of what a pattern may go over many times: each is read or refused within two seconds."""

from itertools import product
from pathlib import Path

import pytest

from indexing.chunk import ChunkerSettings
from indexing.errors import UnreadableError
from indexing.read.formats import sniff
from indexing.read.formats.extract import Limits, tidy
from indexing.read.pool import Parsers, ParserSettings

pytestmark = pytest.mark.anyio

KB = 1024
RUNS = {
    "blanks.txt": b"a" + b" " * (170 * KB) + b"b\n" + b"words " * 10,
    "tabs.txt": b"a" + b"\t" * (170 * KB) + b"b\n",
    "blank_lines.txt": b"a\n" + b" \n" * (80 * KB) + b"b",
    "heading.md": b"# a" + b" " * (170 * KB) + b"b\n\nwords",
    "hashes.md": b"# a " + b"#" * (170 * KB) + b"b\n\nwords",
    "front.md": b"---\n" + b"title: \n" * (20 * KB) + b"words",
    "setext.md": b"word\n" * (10 * KB) + b"-" * (100 * KB) + b"x\n",
    "pipes.md": b"|" * (100 * KB) + b"x\n\nwords",
    "comments": b"<!---->" * 30 + b"words of a text that is no page at all",
    "comments.xhtm": b"<!-- a -->" * 800 + b"<p>words of a text",
    "opened": b"<!--" * (2 * KB) + b"words",
    "blanks_then_comment": b" " * (8 * KB - 10) + b"<!--",
    "declarations": b"<?xml" * (2 * KB) + b" words",
    "voices.vtt": b"WEBVTT\n\n00:01.000 --> 00:02.000\nwords " + b"<v a" * (40 * KB),
    "voice.srt": b"1\n00:00:01,000 --> 00:00:02,000\nwords <v" + b" " * (100 * KB),
    "tags.srt": b"1\n00:00:01,000 --> 00:00:02,000\nwords " + b"<" * (50 * KB) + b"<b " * (40 * KB),
    "escaped.xml": b"<?xml version='1.0'?><a>words " + b"&lt;p &lt;/b " * (10 * KB) + b"</a>",
    "blanks.html": b"<p>words" + b" " * (60 * KB) + b"</p>",
    "comments_in_attribute.html": b"<p title='" + b"<!--" * (40 * KB) + b"'>words</p>",
    "flowed.eml": b"From: a\nTo: b\nContent-Type: text/plain; format=flowed\n\n"
    + b"a \n" * (60 * KB)
    + b"> " * (60 * KB),
    "letters.ics": b"BEGIN:VEVENT\nSUMMARY:words\n"
    + b"a" * (170 * KB)
    + b"\nX;"
    + b'"' * (99 * KB)
    + b"\nEND:VEVENT\n",
    "properties.ics": b"BEGIN:VEVENT\nSUMMARY:words\n" + b"".join(b"X-%d:1\n" % n for n in range(30_000)),
    "postmarks.mbox": b"From a Mon Jan  1 00:00:00 2024\nFrom: a\n\nwords\n\nFrom "
    + b"Mon Jan 1  " * (20 * KB)
    + b"\n",
    "style.html": b"<style>"
    + b"".join(b".a%d,p.b%d:hover{display:none}" % (n, n) for n in range(3000))
    + b"</style><p>words</p>"
    + b"<b class='a b c d e f'>x</b>" * KB,
    "hashes.eml": b"From: a\nTo: b\nContent-Type: text/plain\n\nwords\n" + b"#" * (50 * KB) + b"\n" + b"# " * (50 * KB),
}
PIECES = ("<", "<b ", "</", "<!--", "&", "&lt;p ", " ", "\t", "\n", " \n", "#", "# \n", "`", "```\n", "'", "\\", "{\\",
          "|", "|\n", "*", "-", "> ", "[", "](", "a:\n", ",", "1", "=?", "From ", "{\\*\\htmltag")  # fmt: skip
MAIL = "From: a\nTo: b\nSubject: c\nContent-Type: text/{}\n\nwords "
AROUND = {
    "page.html": ("<html><body><p>words ", "</p>"),
    "attribute.html": ("<html><body><p title='", "'>words</p>"),
    "cdata.xml": ("<?xml version='1.0'?><a>words <![CDATA[", "]]></a>"),
    "html.eml": (MAIL.format("html"), ""),
    "plain.eml": (MAIL.format("plain"), ""),
    "words.md": ("# Words\n\nwords ", " words"),
    "cue.srt": ("1\n00:00:01,000 --> 00:00:02,000\nwords ", " words"),
    "cue.vtt": ("WEBVTT\n\n00:01.000 --> 00:02.000\nwords ", " words"),
    "words.rst": ("words\n=====\n", "\nwords"),
    "words.rtf": (r"{\rtf1\ansi words ", "}"),
    "cell.csv": ("a,b\n1,", "\n"),
    "value.json": ('{"text": "words ', '"}'),
    "words.txt": ("words ", " words"),
}


@pytest.mark.parametrize("name", RUNS)
async def test_a_run_costs_no_more_than_its_length(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(RUNS[name])
    settings = ParserSettings(ChunkerSettings(64, 0, None), Limits(), workers=1, timeout_s=2, memory_bytes=2**31)
    async with Parsers(settings) as parsers:
        reason, batches = "", []
        try:
            batches = [batch async for batch in parsers.file(path)]
        except UnreadableError as exc:
            reason = str(exc)
    assert batches or reason
    assert "given up" not in reason


async def test_a_run_within_any_format_costs_no_more_than_its_length(tmp_path: Path) -> None:
    settings = ParserSettings(ChunkerSettings(64, 0, None), Limits(), workers=1, timeout_s=2, memory_bytes=2**31)
    slow = []
    async with Parsers(settings) as parsers:
        for (name, (before, after)), piece in product(AROUND.items(), PIECES):
            path = tmp_path / name
            path.write_text(before + piece * (20 * KB // len(piece)) + after)
            try:
                assert [batch async for batch in parsers.file(path)]
            except UnreadableError as exc:
                slow += [(name, piece)] if "given up" in str(exc) else []
    assert slow == []


def test_blanks_at_the_end_of_a_line_go_and_others_stay() -> None:
    assert tidy("a \t\nb  c \n\n\n d") == "a\nb  c\n\n d"


@pytest.mark.parametrize(
    "head",
    [
        b"<!DOCTYPE html>",
        b' \n<?xml version="1.0"?>\n<!-- a > b --><!-- c\n-->\n<html lang="en">',
        b"<!-- <p> -->\n<body>",
    ],
)
def test_a_page_is_known_past_its_comments(head: bytes) -> None:
    assert sniff.sniff(head, "page") == sniff.HTML


@pytest.mark.parametrize("head", [b"<!-- <html> ", b"<!-- a --> words <html>", b"<htmlish>"])
def test_what_only_mentions_a_page_is_text(head: bytes) -> None:
    assert sniff.sniff(head, "page") == sniff.PLAIN
