"""A document cut into chunks of at most so many tokens, at the best places its structure offers.

Token positions come from one pass of the embedding model's tokenizer. The splitter itself counts characters, by the
document's own characters per token: counting tokens wherever it tries costs six times as much (docs/indexing.md).
What is still too long after that is cut again.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from indexing.document import Chunk, Document
from indexing.read.formats.extract import one_line
from indexing.read.formats.text import is_markdown

CHUNKER = "markdown-2"
"""Of the manifest: changes with what the same text is cut into."""
SEGMENT = 65_536
"""Characters that are tokenized and split at once."""
LINE = 4_096
"""The same for text with longer lines: the splitter's time grows with the square of a line's length."""
HEADING_TOKENS = 64
"""Of a chunk's heading, in what is embedded; _LEVELS and _PART_CHARS keep it there for most scripts."""
_LEVELS = 3
_PART_CHARS = 72
_BYTES_PER_TOKEN = 3
"""Where the tokenizer is not known: English has 4-5 bytes a token, a CJK character has 3."""
_FILL = 0.9
"""Of the characters that a chunk could hold on average; more, and most chunks must be cut again."""
_SHORT = 8
"""A section shorter than this part of a chunk goes with the next; all others begin chunks of their own."""
_MOST_CHARS = 16
"""A token's characters at most: a word that the tokenizer does not know is one token, however long it is."""


@dataclass(frozen=True, slots=True)
class ChunkerSettings:
    max_tokens: int
    """Of a chunk's text."""
    overlap: int
    """Tokens."""
    tokenizer: str | None
    """tokenizer.json of the embedding model; None: tokens are taken to have _BYTES_PER_TOKEN."""


class Chunker:
    def __init__(self, settings: ChunkerSettings) -> None:
        self._max = settings.max_tokens
        self._overlap = settings.overlap
        self._tokenizer: Tokenizer | None = None
        if settings.tokenizer is not None:
            self._tokenizer = Tokenizer.from_str(settings.tokenizer)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def chunks(self, document: Document) -> tuple[list[Chunk], list[int]]:
        """The chunks in order, and the tokens of each. Text that is only blanks has none."""
        markdown = is_markdown(document.media_type) and bool(_MARKUP.search(document.text))
        outline = _Outline(document, markdown=markdown)
        chunks: list[Chunk] = []
        tokens: list[int] = []
        for start, end, count in self._spans(document.text, outline, markdown=markdown):
            page = bisect_right(document.pages, start) if document.pages else None
            text = document.text[start:end]
            chunks.append(Chunk(len(chunks), text, start, end, page, outline.at(start, end)))
            tokens.append(count)
        return chunks, tokens

    def _spans(self, text: str, outline: "_Outline", *, markdown: bool) -> Iterator[tuple[int, int, int]]:
        """(start, end, tokens) of each chunk."""
        for start, end in _segments(text):
            segment = text[start:end]
            starts = self._token_starts(segment)
            if starts:
                headings = [heading - start for heading in outline.headings(start, end)]
                for at, piece_end in self._cut(segment, starts, headings, markdown=markdown):
                    yield start + at, start + piece_end, max(_count(starts, at, piece_end), 1)

    def _token_starts(self, segment: str) -> "array[int]":
        """Where each token begins, in characters."""
        if self._tokenizer is not None:
            encoded = self._tokenizer.encode(segment, add_special_tokens=False)
            return array("I", [start for start, _ in encoded.offsets])
        starts = array("I")
        owed = 0
        for at, char in enumerate(segment):
            owed += len(char.encode("utf-8", "replace"))
            while owed >= _BYTES_PER_TOKEN:
                starts.append(at)
                owed -= _BYTES_PER_TOKEN
        return starts or array("I", [0] * bool(segment.strip()))

    def _cut(
        self, segment: str, starts: "array[int]", headings: Sequence[int], *, markdown: bool
    ) -> Iterator[tuple[int, int]]:
        per_token = len(segment) / len(starts)
        most = self._max * _MOST_CHARS
        capacity = max(1, min(int(self._max * per_token * _FILL), most))
        overlap = min(int(self._overlap * per_token), capacity // 2)
        splitter = MarkdownSplitter(capacity, overlap) if markdown else TextSplitter(capacity, overlap)
        for first, last in self._sections(len(segment), starts, headings):
            for at, piece in splitter.chunk_indices(segment[first:last]):
                yield from self._fitted(segment, first + at, first + at + len(piece), starts)

    def _sections(self, end: int, starts: "array[int]", headings: Sequence[int]) -> Iterator[tuple[int, int]]:
        """From heading to heading, so that what a chunk is labelled with is true of all of it."""
        first = 0
        for heading in headings:
            if _count(starts, first, heading) >= self._max // _SHORT:
                yield first, heading
                first = heading
        yield first, end

    def _fitted(self, segment: str, start: int, end: int, starts: "array[int]") -> Iterator[tuple[int, int]]:
        """A span, or the smaller ones that it is cut into until each fits."""
        count = _count(starts, start, end)
        if count <= self._max or end - start == 1:
            yield start, end
            return
        parts = -(-count // self._max)
        capacity = max(1, min((end - start) // parts + (end - start) // 20, end - start - 1))
        for at, piece in TextSplitter(capacity).chunk_indices(segment[start:end]):
            yield from self._fitted(segment, start + at, start + at + len(piece), starts)


def _count(starts: "array[int]", start: int, end: int) -> int:
    return bisect_left(starts, end) - bisect_left(starts, start)


_BREAKS = ("\n\n# ", "\n## ", "\n\n", "\n", "。", ". ", " ")


def _segments(text: str) -> Iterator[tuple[int, int]]:
    """Spans of at most SEGMENT characters, of at most LINE where lines are long."""
    for start, end in _spans_of(text, 0, len(text), SEGMENT):
        if max(map(len, text[start:end].split("\n"))) > LINE:
            yield from _spans_of(text, start, end, LINE)
        else:
            yield start, end


def _spans_of(text: str, start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut at the strongest break within the last half of each span."""
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


_MARKUP = re.compile(r"^(?:#{1,6} |```|~~~|\|.*\|$)", re.MULTILINE)
"""Headings, code, tables. Text without any is cut better as plain text: docs/indexing.md."""
_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*?)[ \t#]*$")
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)")


class _Outline:
    """Where each heading path of a document begins."""

    def __init__(self, document: Document, *, markdown: bool) -> None:
        self._title = one_line(document.title)
        self._text = document.text
        self._starts: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        if markdown:
            self._read()

    def _read(self) -> None:
        stack: list[tuple[int, str]] = []
        fence = ""
        at = 0
        for line in self._text.split("\n"):
            if found := _FENCE.match(line):
                fence = "" if fence and found[1].startswith(fence) else fence or found[1]
            elif not fence and line.startswith("#") and (heading := _HEADING.match(line)):
                level = len(heading[1])
                stack = [entry for entry in stack if entry[0] < level]
                stack.append((level, re.sub(r"[*_`]", "", heading[2])))
                self._starts.append(at)
                self._paths.append(tuple(title for _, title in stack))
            at += len(line) + 1

    def headings(self, start: int, end: int) -> list[int]:
        """Where those from start to end begin."""
        return self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def at(self, start: int, end: int) -> str:
        """The path of a chunk: where its own words begin, after the headings it may start with."""
        index = bisect_right(self._starts, start) - 1
        while index + 1 < len(self._starts) and self._starts[index + 1] < end:
            between = self._text[max(start, self._starts[index]) if index >= 0 else start : self._starts[index + 1]]
            if any(line and not line.startswith("#") for line in between.split("\n")):
                break
            index += 1
        path = self._paths[index] if index >= 0 else ()
        parts = [shortened(part) for part in (self._title, *path[-_LEVELS:])]
        return " > ".join(part for i, part in enumerate(parts) if part and (i == 0 or part != parts[i - 1]))


def shortened(part: str) -> str:
    return part if len(part) <= _PART_CHARS else part[:_PART_CHARS].rsplit(" ", 1)[0] + " …"
