"""Cuts texts into sentences: list items, table rows, headings and lines of code are sentences of their own."""

import re
from functools import lru_cache
from itertools import pairwise

import sentencex

from app.answer.languages import language, language_of

_WRAPPED = range(40, 200)
"""Characters of the longest line of a text whose lines were broken to fit a width."""
_BLOCK = re.compile(r"\s*(?:[-*•>]\s|[#|]|\d{1,3}[.)]\s|```|~~~|$)")
"""The start of a line that does not continue the one before: of a list, heading, table, fence, or an empty line."""
_OWN_LINE = re.compile(r"\s*[#|]|[^:|,\n]{1,80}: [^\n]+?, [^:|,\n]{1,80}: ")
"""A heading, or a row of a table: "| value | value |" or "name: value, name: value"."""
_LEAD = re.compile(r"\s*(?:(?:[-*•>#]+|\d{1,3}[.)])\s+)*")
_ROW = re.compile(r"\s*\|")
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
        for start, end in [(0, len(line))] if _ROW.match(line) else _cut(line, code):
            lead = _LEAD.match(line, start, end)
            first = lead.end() if lead else start
            last = start + len(line[start:end].rstrip())
            if first < last:
                spans.append((at + first, at + last))
        at += len(line) + 1
    return tuple(spans)


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
        ends = len(line) + 1 + len(word) <= width or _BLOCK.match(following) or _OWN_LINE.match(line)
        joined += ("\n" if ends else " ") + following
    return joined
