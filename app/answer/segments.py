"""Cuts texts into sentences: list items, table rows, headings and lines of code are sentences of their own."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import sentencex

from app.answer.languages import language, language_of
from app.answer.tables import is_row

_WRAPPED = range(40, 200)
"""Characters of the longest line of a text whose lines were broken to fit a width."""
_BLOCK = re.compile(r"\s*(?:[-*•>]\s|[#|]|\d{1,3}[.)]\s|```|~~~|$)")
"""The start of a line that does not continue the one before: of a list, heading, table, fence, or an empty line."""
_OWN_LINE = re.compile(r"\s*[#|]|[^:|,\n]{1,80}: [^\n]+?, [^:|,\n]{1,80}: ")
"""A heading, or a row of a table: "| value | value |" or "name: value, name: value"."""
_WHOLE = re.compile(r"[.!?;:。！？।؟][\"'”’)\]」』”）]*$|: |\||^\s*(?:[-*•>#]|\d{1,3}[.)]\s)")
"""Of a line that stands by itself: the end of a sentence, "name: value", a row, a heading, a list item."""
_GOES_ON = re.compile(r"[(a-zà-ÿ]")
"""The start of a line that continues a long one without a full stop, however much room that had."""
_ITEM = re.compile(r"[ \t]*(?:[-*•]|\d{1,3}[.)])\s")
_COLONS = (":", "\uff1a")
_LIST_CHARS = 600
"""Of a list that is read with the line before it."""
_FRAGMENT_WORDS = 6
_LEAD = re.compile(r"\s*(?:(?:[-*•>#]+|\d{1,3}[.)])\s+)*")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_DOTTED_ORDINALS = frozenset(("de", "da", "no", "fi", "hu"))
_ORDINAL = re.compile(r"(?<!\d)(?<!\d[.,])\d{1,2}\.\s*$")


@lru_cache(maxsize=512)
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Return (start, end) of each sentence of a text, without list and heading marks and outer blanks.

    A line break that only fits a text to a width does not end a sentence.
    """
    code = language_of(text)
    spans = []
    at = 0
    for line in _unwrapped(text).split("\n"):
        for start, end in [(0, len(line))] if is_row(line) else _cut(line, code):
            lead = _LEAD.match(line, start, end)
            first = lead.end() if lead else start
            last = start + len(line[start:end].rstrip())
            if first < last:
                spans.append((at + first, at + last))
        at += len(line) + 1
    return tuple(spans)


def joined_fragments(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans, and in place of lines that are too short to tell anything, several of them as one.

    "2.5 / kilograms a barrel / carbon intensity in 2022" is a figure with its caption; where it begins and ends nobody
    knows, so each 2, 3 and 5 lines that follow each other are one.
    """
    run: list[tuple[int, int]] = []
    for start, end in (*spans, (len(text), len(text))):
        is_fragment = _is_fragment(text, start, end)
        if run and not (is_fragment and text[run[-1][1] : start].strip(" \t\r") == "\n"):
            sizes = {n for n in (2, 3, 5, len(run)) if n <= min(len(run), 5)}
            yield from ((run[i][0], run[i + n - 1][1]) for n in sizes for i in range(len(run) - n + 1))
            run = []
        if is_fragment:
            run.append((start, end))
        elif start < end:
            yield start, end


def joined_lists(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans; one that ends in a colon before a list goes on to the list's end, or as far as there is room."""
    for i, (start, end) in enumerate(spans):
        last = end
        if text[end - 1] in _COLONS:
            for item, item_end in spans[i + 1 :]:
                if not _ITEM.match(text, line_start(text, item)) or item_end - start > _LIST_CHARS:
                    break
                last = item_end
        yield start, last


def list_said(text: str) -> str:
    """Write a list with the line before it as "line: item; item"; any other text as it is."""
    lead, *items = text.split("\n")
    if not items or lead.rstrip()[-1:] not in _COLONS:
        return text
    return f"{lead.rstrip()} {'; '.join(_LEAD.sub('', item, count=1).rstrip(' ;,.') for item in items if item.strip())}"


def _is_fragment(text: str, start: int, end: int) -> bool:
    line = text[line_start(text, start) : end]
    return 0 < len(line.split()) <= _FRAGMENT_WORDS and not _WHOLE.search(line)


def line_start(text: str, at: int) -> int:
    """Return where the line begins in which an offset lies."""
    return text.rfind("\n", 0, at) + 1


def is_fence(line: str) -> bool:
    """Return True for a line that begins or ends a block of code."""
    return bool(_FENCE.match(line))


def leans(sentence: str, code: str) -> bool:
    """Return True where a sentence says nothing without the one before it, as "It ..." or "The second ..." do."""
    pattern = language(code).leans
    return bool(pattern and pattern.match(sentence))


def _cut(line: str, code: str) -> list[tuple[int, int]]:
    if not line.strip():
        return []
    spans: list[tuple[int, int]] = []
    for found in sentencex.get_sentence_boundaries(code, line):
        start, end = found["start_index"], found["end_index"]
        if spans and code in _DOTTED_ORDINALS and _ORDINAL.search(line[slice(*spans[-1])]):
            start = spans.pop()[0]  # "am 3. März, ..."
        spans.append((start, end))
    return spans


def _unwrapped(text: str) -> str:
    """Replace line breaks that only fit the text to a width by spaces; offsets stay."""
    lines = text.split("\n")
    width = max(map(len, lines))
    if width not in _WRAPPED:
        return text
    joined = lines[0]
    for line, following in pairwise(lines):
        word = following.lstrip().partition(" ")[0]
        goes_on = len(line) >= _WRAPPED.start and _GOES_ON.match(following) and not _WHOLE.search(line.rstrip())
        has_room = len(line) + 1 + len(word) <= width and not goes_on
        ends = has_room or _BLOCK.match(following) or _OWN_LINE.match(line)
        joined += ("\n" if ends else " ") + following
    return joined
