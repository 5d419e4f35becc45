"""Text in any encoding: Markdown, plain text, source code, subtitles; other light markup gets Markdown headings."""

import html
import re

from indexing.document import is_markdown, one_line
from indexing.errors import NotADocumentError
from indexing.markdown import front_matter_end, headings
from indexing.read.formats.charset import decode, is_text
from indexing.read.formats.extract import Extract, Limits, tidy


def load(content: bytes, media_type: str, _limits: Limits) -> Extract:
    raw = decode(content)
    require_printable(raw)
    text = _AS_MARKDOWN.get(media_type, str)(tidy(raw))
    if not text:
        raise NotADocumentError("empty: it has no text")
    return Extract(text, title=title_of(text) if is_markdown(media_type) else "")


def require_printable(text: str) -> None:
    if not is_text(text):
        raise NotADocumentError("not indexed: binary data, not a document")


_TITLE_WITHIN = 2048
"""Characters; a heading further on is not the document's."""


def title_of(markdown: str) -> str:
    """The title of the front matter, else the first heading near the start; "" without one."""
    for line in markdown[: front_matter_end(markdown)].split("\n"):
        if line.startswith("title:") and (title := one_line(line.removeprefix("title:")).strip("\"'")):
            return title
    found = headings(markdown[: 2 * _TITLE_WITHIN], authored=True)
    return next((heading.title for heading in found if heading.start < _TITLE_WITHIN), "")


_VOICE = re.compile(r"<v(?:\.[\w.]*+)?[ \t]++([^<>]++)>")
_CUE_TAG = re.compile(r"</?(?:[bcisuv]|ruby|rt|lang|font)(?:[.\s][^<>]*+)?>|<\d[\d:.]*+>|\{\\[^{}]*+\}", re.IGNORECASE)
"""Of WebVTT and SubRip, the times in a cue, and places such as {\\an8}; other angle brackets are text."""


def _subtitles(text: str) -> str:
    """The spoken text, one line a cue, without numbers, times, styles and tags."""
    cues = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        timed = next((i for i, text in enumerate(lines) if "-->" in text), None)
        if timed is not None:
            line = _VOICE.sub(r"\1: ", " ".join(lines[timed + 1 :]))
            cues.append(one_line(html.unescape(_CUE_TAG.sub("", line))))
    return "\n".join(cue for cue in cues if cue)


def _org(text: str) -> str:
    text = re.sub(r"^#\+title:[ \t]*(.+)$", r"# \1", text, flags=re.MULTILINE | re.IGNORECASE)
    return re.sub(r"^(\*{1,6}) (?=\S)", lambda m: "#" * len(m[1]) + " ", text, flags=re.MULTILINE)


def _asciidoc(text: str) -> str:
    return re.sub(r"^(={1,6}) (?=\S)", lambda m: "#" * len(m[1]) + " ", text, flags=re.MULTILINE)


_UNDERLINED = re.compile(r"^(?:([=\-~^\"'`#*+]){3,}\n)?(\S[^\n]*)\n(([=\-~^\"'`#*+])\4{2,})$", re.MULTILINE)


def _rst(text: str) -> str:
    """Underlined headings; the order in which underline characters first appear gives the levels."""
    order: list[str] = []

    def heading(match: re.Match[str]) -> str:
        style = match[4] * (2 if match[1] else 1)
        if len(match[3]) < len(match[2]):
            return match[0]
        if style not in order:
            order.append(style)
        return f"{'#' * min(order.index(style) + 1, 6)} {match[2]}"

    return _UNDERLINED.sub(heading, text)


_AS_MARKDOWN = {
    "text/vtt": _subtitles, "application/x-subrip": _subtitles, "text/org": _org, "text/asciidoc": _asciidoc,
    "text/prs.fallenstein.rst": _rst,
}  # fmt: skip
