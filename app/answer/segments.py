"""Cuts texts into sentences: list items, table rows, headings and lines of code are sentences of their own."""

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache
from itertools import pairwise

import sentencex
import tantivy

_WRAPPED = range(40, 200)
"""Characters of the longest line of a text whose lines were broken to fit a width."""
_BLOCK = re.compile(r"\s*(?:[-*•>]\s|[#|]|\d{1,3}[.)]\s|```|~~~|$)")
"""The start of a line that does not continue the one before: of a list, heading, table, fence, or an empty line."""
_OWN_LINE = re.compile(r"\s*[#|]")
_LEAD = re.compile(r"\s*(?:(?:[-*•>#]+|\d{1,3}[.)])\s+)*")
_ROW = re.compile(r"\s*\|")
_SCRIPTS = {"HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "THAI": "th", "CYRILLIC": "ru", "ARABIC": "ar",
            "DEVANAGARI": "hi", "GREEK": "el", "HANGUL": "ko", "HEBREW": "he", "ARMENIAN": "hy"}  # fmt: skip
_STOP_WORDS = {"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
               "dutch": "nl", "swedish": "sv", "danish": "da", "norwegian": "no", "finnish": "fi",
               "hungarian": "hu"}  # fmt: skip
_DOTTED_ORDINALS = frozenset(("de", "da", "no", "fi", "hu"))
_ORDINAL = re.compile(r"(?<!\d)(?<!\d[.,])\d{1,2}\.\s*$")
_SAMPLE = 600
"""Characters by which a language is told."""


@lru_cache(maxsize=512)
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Return (start, end) of each sentence of a text, without list and heading marks and outer blanks.

    A line break that only fits a text to a width does not end a sentence.
    """
    language = language_of(text)
    spans = []
    at = 0
    for line in _unwrapped(text).split("\n"):
        for start, end in [(0, len(line))] if _ROW.match(line) else _cut(line, language):
            lead = _LEAD.match(line, start, end)
            first = lead.end() if lead else start
            last = start + len(line[start:end].rstrip())
            if first < last:
                spans.append((at + first, at + last))
        at += len(line) + 1
    return tuple(spans)


@lru_cache(maxsize=512)
def language_of(text: str) -> str:
    """Return the ISO code of a text's language, told by its script or by its stop words; "en" where neither tells."""
    sample = text[:_SAMPLE]
    scripts = Counter(
        script
        for char in sample
        if char.isalpha() and not char.isascii() and (script := unicodedata.name(char, "").split(" ")[0].split("-")[0])
    )
    if scripts["HIRAGANA"] + scripts["KATAKANA"]:
        return "ja"
    script, count = max(scripts.items(), key=lambda item: item[1], default=("", 0))
    if script in _SCRIPTS and 4 * count > sum(map(str.isalpha, sample)):
        return _SCRIPTS[script]
    left = {code: len(_without_stop_words(name).analyze(sample)) for name, code in _STOP_WORDS.items()}
    best = min(left, key=lambda code: left[code])
    return best if left[best] < left["en"] - 1 else "en"


@cache
def _without_stop_words(language: str) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
    return builder.filter(tantivy.Filter.stopword(language)).build()


def _cut(line: str, language: str) -> list[tuple[int, int]]:
    if not line.strip():
        return []
    spans: list[tuple[int, int]] = []
    for found in sentencex.get_sentence_boundaries(language, line):
        start, end = found["start_index"], found["end_index"]
        if spans and language in _DOTTED_ORDINALS and _ORDINAL.search(line[slice(*spans[-1])]):
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
