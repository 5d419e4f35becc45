"""Text in any encoding: Markdown, plain text, source code, subtitles; other light markup gets Markdown headings."""

import re

import charset_normalizer

from indexing.document import is_markdown, one_line
from indexing.errors import NotADocumentError
from indexing.markdown import front_matter_end, headings
from indexing.read.formats import charset
from indexing.read.formats.extract import Extract, Limits, tidy

_WESTERN = "cp1252"
_NOT_WESTERN = re.compile(rb"[\x80-\xff]{3}|[A-Za-z][\xb3\xb9\xbf][a-z]")
"""Three non-ASCII bytes in a row, as in other scripts; Polish letters of cp1250, which are ³, ¹, ¿ in cp1252."""
_SAMPLE = 256 * 2**10
_TOLERANCE = 0.4
_PER_NUL = 1000
"""Characters for each NUL of a text in one-byte encodings; one alone is always allowed."""
_ODD = 0.05
"""Share of control and undecodable characters; with more, the file is binary."""


def decode(content: bytes, label: str = "") -> str:
    """By the BOM, by the label as the web reads it, as UTF-8, as UTF-16/32 by the positions of zero bytes, or a guess.

    A label that is unknown or that the bytes contradict is passed over.
    """
    if (labelled := charset.labelled(content, label)) is not None:
        return labelled
    if charset.is_iso2022_jp(content):
        return charset.replaced(content, "iso2022_jp")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = charset.replaced(content, charset.codec(guessed := _guess(content)) or guessed)
    sample = text[:_SAMPLE]
    if sample.count("\0") > max(1, len(sample) // _PER_NUL):
        text = content.decode(_wide(content), "replace")
    return text


def _guess(content: bytes) -> str:
    """The encoding by charset-normalizer; cp1252 where that is as likely, or no language is recognized."""
    found = charset_normalizer.from_bytes(content[:_SAMPLE])
    best = found.best()
    if best is None:
        raise NotADocumentError("not indexed: binary data, not a document")
    rank = best.chaos, -best.coherence
    as_good = any(match.encoding == _WESTERN and (match.chaos, -match.coherence) <= rank for match in found)
    if (as_good or not best.coherence) and _may_be_western(content[:_SAMPLE]):
        return _WESTERN
    return best.encoding


def _may_be_western(content: bytes) -> bool:
    try:
        content.decode(_WESTERN)
    except UnicodeDecodeError:
        return False
    return not _NOT_WESTERN.search(content)


def _wide(content: bytes) -> str:
    """UTF-16 or UTF-32, whose zero bytes have fixed positions in mostly Latin text; other zeros mean binary data."""
    sample = content[: 4 * 1024]
    zeros = [sample[i::4].count(0) / max(len(sample[i::4]), 1) for i in range(4)]
    for encoding, pattern in (
        ("utf-32-le", (0, 1, 1, 1)), ("utf-32-be", (1, 1, 1, 0)),
        ("utf-16-le", (0, 1, 0, 1)), ("utf-16-be", (1, 0, 1, 0)),
    ):  # fmt: skip
        if all(abs(zero - want) < _TOLERANCE for zero, want in zip(zeros, pattern, strict=True)):
            return encoding
    raise NotADocumentError("not indexed: binary data, not a document")


def load(content: bytes, media_type: str, _limits: Limits) -> Extract:
    raw = decode(content)
    require_printable(raw)
    text = _AS_MARKDOWN.get(media_type, str)(tidy(raw))
    if not text:
        raise NotADocumentError("empty: it has no text")
    return Extract(text, title=title_of(text) if is_markdown(media_type) else "")


def require_printable(text: str) -> None:
    sample = text[:_SAMPLE]
    odd = sum(1 for c in sample if c == "\ufffd" or (c < " " and c not in "\t\n\r\f\v\x1b"))
    if odd > _ODD * len(sample):
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
_CUE_TAG = re.compile(r"</?(?:[bcisuv]|ruby|rt|lang|font)(?:[.\s][^<>]*+)?>|<\d[\d:.]*+>", re.IGNORECASE)
"""Of WebVTT and SubRip, and the times in a cue; other angle brackets are text."""


def _subtitles(text: str) -> str:
    """The spoken text, one line a cue, without numbers, times, styles and tags."""
    cues = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        timed = next((i for i, text in enumerate(lines) if "-->" in text), None)
        if timed is not None:
            line = _VOICE.sub(r"\1: ", " ".join(lines[timed + 1 :]))
            cues.append(one_line(_CUE_TAG.sub("", line)))
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
