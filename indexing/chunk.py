"""Splits a document into chunks of at most max_tokens, at headings, paragraphs and sentences where possible.

The embedding model's tokenizer runs once over the text. The splitter counts characters, at the text's average of
characters per token: counting tokens at each attempt takes six times as long (docs/indexing.md). A chunk that then
has too many tokens is split again.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from indexing.document import MARKDOWN, Chunk, Document, is_markdown, one_line
from indexing.markdown import headings
from indexing.tables import Tables

CHUNKER = "markdown-3"
"""Part of the manifest; changes when the same text gives other chunks."""
SEGMENT_CHARS = 65_536
"""Characters that are tokenized and split at once."""
LINE_CHARS = 4_096
"""The same for text with longer lines: the splitter's time is quadratic in a line's length."""
HEADING_TOKENS = 64
"""Reserved for a chunk's heading when it is embedded; _LEVELS and _TITLE_CHARS keep it shorter in most scripts."""
_LEVELS = 3
_TITLE_CHARS = 72
_BYTES_PER_TOKEN = 3
"""Without a tokenizer: English has 4-5 bytes a token, and a CJK character has 3."""
_LABEL_BYTES_PER_TOKEN = 2
"""Bounds the caption and columns in a chunk's heading to half of a chunk, at 4 bytes a token."""
_FILL = 0.9
"""Share of the average chunk's characters that the splitter may use; with more, most chunks must be split again."""
_MIN_SECTION = 8
"""A section with fewer than max_tokens / 8 shares a chunk with the next; all others begin chunks of their own."""
_MAX_CHARS_PER_TOKEN = 16
"""Bounds chunks of unknown words: each is one token, whatever its length."""


@dataclass(frozen=True, slots=True)
class ChunkerSettings:
    max_tokens: int
    """Of a chunk's text, without its heading."""
    overlap: int
    """Tokens that a chunk repeats of the one before it."""
    tokenizer: str | None
    """tokenizer.json of the embedding model; None: a token is taken for _BYTES_PER_TOKEN bytes."""


@dataclass(frozen=True, slots=True)
class _Long:
    """A table that needs several chunks, by its offsets in a segment."""

    start: int
    end: int
    limit: int
    """Tokens of each chunk."""


class Chunker:
    def __init__(self, settings: ChunkerSettings) -> None:
        self._max = settings.max_tokens
        self._overlap = settings.overlap
        self._label_bytes = settings.max_tokens * _LABEL_BYTES_PER_TOKEN
        self._tokenizer: Tokenizer | None = None
        if settings.tokenizer is not None:
            self._tokenizer = Tokenizer.from_str(settings.tokenizer)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def chunks(self, document: Document) -> tuple[list[Chunk], list[int]]:
        """The chunks in order, and the number of tokens of each. Blank text has none."""
        markup = _AUTHORED_MARKUP if document.media_type == MARKDOWN else _MARKUP
        markdown = is_markdown(document.media_type) and bool(markup.search(document.text))
        outline = _Outline(document, markdown=markdown)
        tables = Tables(document.text if markdown else "")
        chunks: list[Chunk] = []
        tokens: list[int] = []
        for start, end, count in self._spans(document.text, outline, tables, markdown=markdown):
            page = bisect_right(document.pages, start) if document.pages else None
            text = document.text[start:end]
            heading = outline.at(start, end)
            if (table := tables.at(start)) and (label := table.label(start, self._label_bytes)):
                heading = f"{heading} > {label}" if heading else label
            chunks.append(Chunk(len(chunks), text, start, end, page, heading))
            tokens.append(count)
        return chunks, tokens

    def _spans(
        self, text: str, outline: "_Outline", tables: Tables, *, markdown: bool
    ) -> Iterator[tuple[int, int, int]]:
        """(start, end, tokens) of each chunk."""
        for start, end in _segments(text):
            segment = text[start:end]
            starts = self._token_starts(segment)
            if starts:
                sections = [heading - start for heading in outline.headings(start, end)]
                long = self._long_tables(tables, start, end, starts)
                for at, piece_end in self._split(segment, starts, sections, long, markdown=markdown):
                    yield start + at, start + piece_end, max(_count(starts, at, piece_end), 1)

    def _token_starts(self, segment: str) -> "array[int]":
        """The offset of each token, in characters."""
        if self._tokenizer is not None:
            encoded = self._tokenizer.encode(segment, add_special_tokens=False)
            return array("I", [start for start, _ in encoded.offsets])
        starts = array("I")
        unassigned = 0
        for at, char in enumerate(segment):
            unassigned += len(char.encode("utf-8", "replace"))
            while unassigned >= _BYTES_PER_TOKEN:
                starts.append(at)
                unassigned -= _BYTES_PER_TOKEN
        return starts or array("I", [0] * bool(segment.strip()))

    def _split(
        self, segment: str, starts: "array[int]", headings: Sequence[int], long: Sequence["_Long"], *, markdown: bool
    ) -> Iterator[tuple[int, int]]:
        per_token = len(segment) / len(starts)
        limit = self._max * _MAX_CHARS_PER_TOKEN
        capacity = max(1, min(int(self._max * per_token * _FILL), limit))
        overlap = min(int(self._overlap * per_token), capacity // 2)
        splitter = MarkdownSplitter(capacity, overlap) if markdown else TextSplitter(capacity, overlap)
        split = _INLINE.sub(")", segment.translate(_QUOTES)) if markdown else segment
        for first, last in self._sections(len(segment), starts, headings):
            for start, end, limit in self._parts(first, last, starts, long):
                if limit:
                    yield from self._rows(segment, start, end, starts, limit)
                else:
                    for at, piece in splitter.chunk_indices(split[start:end]):
                        yield from self._fit(segment, start + at, start + at + len(piece), starts)

    def _sections(self, end: int, starts: "array[int]", headings: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Spans from heading to heading, so that all of a chunk is under the heading that labels it."""
        first = 0
        for heading in headings:
            if _count(starts, first, heading) >= self._max // _MIN_SECTION:
                yield first, heading
                first = heading
        yield first, end

    def _long_tables(self, tables: Tables, start: int, end: int, starts: "array[int]") -> list["_Long"]:
        """The tables from start to end that need several chunks, each with room for its label."""
        found = []
        for table in tables.between(start, end):
            first, last = max(table.start, start) - start, min(table.end, end) - start
            label = len(table.label(table.body, self._label_bytes)) * len(starts) // (end - start)
            limit = max(self._max - label, self._max // 2, 1)
            if _count(starts, first, last) > limit * _FILL:
                found.append(_Long(first, last, limit))
        return found

    def _parts(
        self, first: int, last: int, starts: "array[int]", long: Sequence["_Long"]
    ) -> Iterator[tuple[int, int, int]]:
        """(start, end, limit) of each long table, with a short text above it, and of what is between; limit 0 there."""
        for table in long:
            start, end = max(table.start, first), min(table.end, last)
            if start >= end:
                continue
            if _count(starts, first, start) >= self._max // _MIN_SECTION:
                yield first, start, 0
            else:
                start = first
            yield start, end, table.limit
            first = end
        if first < last:
            yield first, last, 0

    def _rows(self, segment: str, start: int, end: int, starts: "array[int]", limit: int) -> Iterator[tuple[int, int]]:
        """As many whole rows as have at most `limit` tokens; a longer row is split."""
        first = at = start
        while at < end:
            row_end = segment.find("\n", at, end) + 1 or end
            if at > first and _count(starts, first, row_end) > limit:
                yield from self._trimmed(segment, first, at, starts)
                first = at
            at = row_end
        yield from self._trimmed(segment, first, end, starts)

    def _trimmed(self, segment: str, start: int, end: int, starts: "array[int]") -> Iterator[tuple[int, int]]:
        text = segment[start:end]
        if text.strip():
            yield from self._fit(segment, start + len(text) - len(text.lstrip()), start + len(text.rstrip()), starts)

    def _fit(self, segment: str, start: int, end: int, starts: "array[int]") -> Iterator[tuple[int, int]]:
        """The span, split until each part has at most max_tokens."""
        count = _count(starts, start, end)
        if count <= self._max or end - start == 1:
            yield start, end
            return
        parts = -(-count // self._max)
        capacity = max(1, min((end - start) // parts + (end - start) // 20, end - start - 1))
        for at, piece in TextSplitter(capacity).chunk_indices(segment[start:end]):
            yield from self._fit(segment, start + at, start + at + len(piece), starts)


def _count(starts: "array[int]", start: int, end: int) -> int:
    return bisect_left(starts, end) - bisect_left(starts, start)


_BREAKS = ("\n\n# ", "\n## ", "\n\n", "\n", "。", ". ", " ")


def _segments(text: str) -> Iterator[tuple[int, int]]:
    """Spans of at most SEGMENT_CHARS characters, or LINE_CHARS where lines are long."""
    for start, end in _split_at_breaks(text, 0, len(text), SEGMENT_CHARS):
        if max(map(len, text[start:end].split("\n"))) > LINE_CHARS:
            yield from _split_at_breaks(text, start, end, LINE_CHARS)
        else:
            yield start, end


def _split_at_breaks(text: str, start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Spans of at most `size`, each ending at the strongest break in its second half."""
    while stop - start > size:
        end = start + size
        for mark in _BREAKS:
            at = text.rfind(mark, start + size // 2, end)
            if at >= 0:
                end = at + mark.startswith((".", "。"))
                break
        yield start, end
        start = end
    if start < stop:
        yield start, stop


_MARKUP = re.compile(r"^(?:#{1,6} |```|~~~|\|.*\|$|:?-+:? *\|)", re.MULTILINE)
"""Headings, code, tables. Markdown without any is split better as plain text (docs/indexing.md)."""
_QUOTES = str.maketrans("'\"[]", "\u2019\u201d()")
_INLINE = re.compile(r"(?<=\S)[*_]|[*_](?=\S)")
"""The splitter takes the edges of quotes, brackets and emphasis for stronger borders than the ends of sentences.

It is given other characters in their places, which close what a sentence ends with and are no markup.
"""
_AUTHORED_MARKUP = re.compile(rf"{_MARKUP.pattern}|^ {{0,3}}(?:=+|-{{3,}})[ \t]*$", re.MULTILINE)
"""The same with underlined headings, of text that was written as Markdown."""


class _Outline:
    """The headings of a document, each with its offset and the path of titles above it."""

    def __init__(self, document: Document, *, markdown: bool) -> None:
        self._title = one_line(document.title)
        self._text = document.text
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        if markdown:
            self._parse(authored=document.media_type == MARKDOWN)

    def _parse(self, *, authored: bool) -> None:
        stack: list[tuple[int, str]] = []
        for heading in headings(self._text, authored=authored):
            stack = [entry for entry in stack if entry[0] < heading.level]
            stack.append((heading.level, heading.title))
            self._starts.append(heading.start)
            self._ends.append(heading.end)
            self._paths.append(tuple(title for _, title in stack))

    def headings(self, start: int, end: int) -> list[int]:
        """Offsets of the headings from start to end."""
        return self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def at(self, start: int, end: int) -> str:
        """ "Title > Section > Subsection" of a chunk, by the last of the headings that it begins with or follows."""
        index = bisect_right(self._starts, start) - 1
        while index + 1 < len(self._starts) and self._starts[index + 1] < end:
            begin = max(start, self._ends[index]) if index >= 0 else start
            if self._text[begin : self._starts[index + 1]].strip():
                break
            index += 1
        path = self._paths[index] if index >= 0 else ()
        parts = [_shorten(part) for part in (self._title, *path[-_LEVELS:])]
        return " > ".join(part for i, part in enumerate(parts) if part and (i == 0 or part != parts[i - 1]))


def _shorten(part: str) -> str:
    return part if len(part) <= _TITLE_CHARS else part[:_TITLE_CHARS].rsplit(" ", 1)[0] + " …"
