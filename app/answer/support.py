"""Measures how far a text supports a claim: by its words, and all of its numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

SUPPORT = 0.6
"""The share of a claim's words that a quote must hold."""

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s)[^.!?\n]*)*[.!?]*")
_WRAPPED = range(40, 200)
"""Characters of the longest line of a text whose lines were broken to fit a width."""
_BLOCK = re.compile(r"\s*(?:[-*•>]\s|[#|]|\d{1,3}[.)]\s|```|$)")
"""The start of a line that does not continue the one before: of a list, heading, table, fence, or an empty line."""
_OWN_LINE = re.compile(r"\s*[#|]")
_LEAD = re.compile(r"^\s*(?:(?:[-*•>#]+|\d{1,3}[.)])\s+)?")
_MARKER = re.compile(r"\[\d+\]")
_WORD = re.compile(r"\w+(?:[.,]\d+)*")
_PLURAL = re.compile(r"\w{2,}[^\Ws]s")
_STOP_WORDS = frozenset(
    """
    a an and are as at be been by can do does for from had has have he her his i if in into is it its may more not
    of on or our she so such than that the their them then there these they this to was we were what when where
    which who will with would you your
    """.split()  # noqa: SIM905 - easier to read
)


@dataclass(frozen=True, slots=True)
class Support:
    """The part of a passage nearest to a claim; offsets are into the passage's text."""

    share: float
    start: int
    end: int


def support(claim: str, text: str) -> Support:
    """Find the one or two adjacent sentences of a text that hold the largest share of a claim's words.

    The share is 0 where they lack a number of the claim: a wrong year among the right words is not supported.
    """
    wanted = _content(_MARKER.sub(" ", claim))
    numbers = {word for word in wanted if word[0].isdigit()}
    best = Support(0.0, 0, 0)
    for start, end, held in _quotes(text) if wanted else ():
        share = len(wanted & held) / len(wanted)
        if share > best.share and numbers <= held:
            best = Support(share, start, end)
    return best


def says_more(claim: str, question: str, quote: str) -> bool:
    """Return True where a claim adds words to the question, and the quote holds most of those."""
    beyond = _content(_MARKER.sub(" ", claim)) - _content(question)
    return bool(beyond) and len(beyond & _content(quote)) >= SUPPORT * len(beyond)


def sentences(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence or line of a text, without list and heading marks.

    A line break that only fits a text to a width does not end a sentence.
    """
    spans = (
        (found.start() + len(found[0]) - len(_LEAD.sub("", found[0])), found.end())
        for found in _SENTENCE.finditer(_unwrapped(text))
    )
    return [(start, end) for start, end in spans if start < end]


@lru_cache(maxsize=256)
def _quotes(text: str) -> Sequence[tuple[int, int, frozenset[str]]]:
    """Return start, end and words of each sentence and each adjacent pair; cached, as each claim needs them."""
    one = [(start, end, frozenset(_content(text[start:end]))) for start, end in sentences(text)]
    return [*one, *((start, end, a | b) for (start, _, a), (_, end, b) in pairwise(one))]


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


def _content(text: str) -> set[str]:
    """Return the words without stop words, in lower case and without plural endings."""
    words = (word.lower() for word in _WORD.findall(text))
    return {_singular(word) for word in words if word not in _STOP_WORDS}


def _singular(word: str) -> str:
    return word[:-1] if _PLURAL.fullmatch(word) else word
