"""The headings of Markdown, as CommonMark reads it."""

import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

_FRONT = 4096
"""Characters; front matter that is longer is none."""

_LONG = 300
"""Characters; a heading that is longer is taken as it is."""

_MARK = re.compile(r"^( {0,3})(?=#{1,6}(?:\s|$)|```|~~~)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heading:
    start: int
    """Offset of its first line."""
    end: int
    """Offset past its last line."""
    level: int
    title: str
    """Without markup."""


def headings(text: str, *, authored: bool) -> list[Heading]:
    """In order. Of text that was not written as Markdown (`authored`), underlined lines and tags are what they seem."""
    parser = MarkdownIt("commonmark").disable("reference")
    if not authored:
        parser.disable(["lheading", "code", "html_block", "list", "blockquote"])
    skipped = front_matter_end(text) if authored else 0
    tokens: list[Token] = []
    parser.block.parse(text[skipped:], parser, {}, tokens)
    starts = [skipped, *accumulate((len(line) + 1 for line in text[skipped:].split("\n")), initial=skipped)][1:]
    found = []
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.map and token.level == 0:
            first, past = token.map
            title = _plain(parser, content.content, authored=authored)
            if title:
                found.append(Heading(starts[first], min(starts[past], len(text)), int(token.tag[1]), title))
    return found


def _plain(parser: MarkdownIt, markup: str, *, authored: bool) -> str:
    if len(markup) > _LONG:
        return " ".join(markup.split())
    kept = {"text", "code_inline", "image"} | (set() if authored else {"html_inline"})
    inlines = parser.parseInline(markup)[0].children or []
    parts = (each.content if each.type in kept else " " if each.type.endswith("break") else "" for each in inlines)
    return " ".join("".join(parts).split())


def front_matter_end(text: str) -> int:
    """Offset past the front matter; 0 without one."""
    end = text.find("\n---\n", 3, _FRONT) if text.startswith("---\n") else -1
    return end + len("\n---\n") if end >= 0 else 0


def escaped(text: str) -> str:
    """Text that is no Markdown, with a backslash before what would be a heading or a fence."""
    may = "#" in text or "```" in text or "~~~" in text  # looked for first, as the expression stops at each character
    return _MARK.sub(r"\1\\", text) if may else text
