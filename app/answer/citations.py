"""Checks citations: markers like [2] in an answer, each against the passage that it names.

A claim is a sentence of the answer. The model's own marker is kept where it names a passage, and dropped where it does
not. A sentence that the model left unmarked gets the marker of the passage whose words carry it. A citation is
`verified` when its quote - the one or two sentences of the passage nearest to the claim - holds most of the claim's
words and all of its numbers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.answer.passages import Passage
from app.answer.support import SUPPORT, Support, says_more, support

_TOKEN = re.compile(
    r"(?P<marker>\[\d{1,3}(?:\s*,\s*\d{1,3})*\])|(?P<stop>[.!?]+[\"')\]]*)|(?P<space>\s+)|(?P<word>[^\s.!?\[]+|\[)"
)
_OWN_MARKER = re.compile(r"(?<![\w\])])\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_INDEX = re.compile(r"\[(?=\d{1,3}(?:\s*,\s*\d{1,3})*\])")
_UNFINISHED = re.compile(r"(\[[\d,\s]*\]?[^\s.!?\[]*|[.!?][\"')\]]*|\s+|[^\s.!?\[]+)$")


@dataclass(frozen=True, slots=True)
class Citation:
    """answer[start:end] is the claim; document text[quote_start:quote_end] is what carries it."""

    index: int
    start: int
    end: int
    quote: str
    quote_start: int
    quote_end: int
    verified: bool


class CitationChecker:
    """Checks the markers of an answer while it is generated; yields its text, and a Citation after each marker.

    The texts that it yields join to `answer`. The end of a sentence is held back until the next one begins. `strict`
    yields whole sentences only, and stops (`left_passages`) at the first that no passage supports or that only repeats
    the question.
    """

    def __init__(self, passages: Sequence[Passage], question: str = "", *, strict: bool = False) -> None:
        self._passages = {passage.index: passage for passage in passages}
        self._question = question
        self._strict = strict
        self._pending = ""
        self._space = ""
        self._stop = ""
        self._draft = ""
        self._held: list[str | Citation] = []
        self._claim_start = 0
        self._cited: set[int] = set()
        self._quotes = ""
        self.left_passages = False

    @property
    def answer(self) -> str:
        """The text yielded so far."""
        return self._draft.removesuffix("".join(part for part in self._held if isinstance(part, str)))

    def feed(self, text: str) -> Iterator[str | Citation]:
        self._pending += text
        held = _UNFINISHED.search(self._pending)
        ready = self._pending[: held.start()] if held else self._pending
        self._pending = self._pending[len(ready) :]
        yield from self._read(ready)

    def finish(self) -> Iterator[str | Citation]:
        yield from self._read(self._pending)
        self._pending = ""
        if not self.left_passages and len(self._draft) > self._claim_start:
            yield from self._end_sentence()

    def _read(self, text: str) -> Iterator[str | Citation]:
        for token in _TOKEN.finditer(text):
            if self.left_passages:
                return
            match token.lastgroup:
                case "space":
                    self._space += token[0]
                case "marker" if not self._is_an_index(token[0]):
                    self._cite(_numbers(token[0]))
                case "stop":
                    self._write(self._space if self._draft else "")
                    self._space = ""
                    self._stop += token[0]
                case _:
                    yield from self._word(token[0])
        if not self._strict:
            yield from self._release()

    def _word(self, word: str) -> Iterator[str | Citation]:
        ended = "\n" in self._space or (self._stop and self._space and not word[0].islower())
        if ended and len(self._draft) > self._claim_start:
            yield from self._end_sentence()
            if self.left_passages:
                return
        self._write(self._stop + (self._space if self._draft else ""))
        self._stop = self._space = ""
        if ended:
            self._claim_start = len(self._draft)
        self._write(word)

    def _is_an_index(self, marker: str) -> bool:
        """Return True for `x[0]` in code: it touches a word, and names no passage."""
        close = not self._space and not self._stop and self._draft[-1:].isalnum()
        return close and self._passages.keys().isdisjoint(_numbers(marker))

    def _cite(self, numbers: Sequence[int]) -> None:
        """Keep the model's marker once a sentence; drop it where no passage has that number."""
        self._space = ""
        claim = self._draft[self._claim_start :]
        for number in numbers:
            passage = self._passages.get(number)
            if passage is not None and number not in self._cited and claim.strip():
                self._mark(passage, support(claim, passage.chunk.text))

    def _end_sentence(self) -> Iterator[str | Citation]:
        claim = self._draft[self._claim_start :]
        if not self._cited or (self._strict and not self._quotes):
            supports = [(support(claim, p.chunk.text), p) for p in self._passages.values()]
            best, passage = max(supports, key=lambda pair: pair[0].share)
            if best.share >= SUPPORT:
                self._mark(passage, best)
        if self._strict and not says_more(claim, self._question, self._quotes):
            self._draft, self._held = self.answer, []
            self.left_passages = True
            return
        self._write(self._stop)
        self._stop = ""
        self._claim_start = len(self._draft)
        self._cited, self._quotes = set(), ""
        yield from self._release()

    def _mark(self, passage: Passage, found: Support) -> None:
        claim = citation_of(passage, found, self._claim_start, len(self._draft.rstrip()))
        self._write(f" [{passage.index}]")
        self._cited.add(passage.index)
        if claim.verified:
            self._quotes += f"{claim.quote}\n"
        self._held.append(claim)

    def _write(self, text: str) -> None:
        if text:
            self._draft += text
            self._held.append(text)

    def _release(self) -> Iterator[str | Citation]:
        held, self._held = self._held, []
        yield from held


def without_markers(text: str) -> str:
    """Write a passage's own [2] as (2), which cites nothing; in x[2] it only gets a zero-width space."""
    return _INDEX.sub("[\u200b", _OWN_MARKER.sub(r"(\1)", text))


def citation_of(passage: Passage, found: Support, start: int, end: int) -> Citation:
    """Cite a part of a passage for the claim at answer[start:end]."""
    chunk = passage.chunk
    return Citation(
        index=passage.index,
        start=start,
        end=end,
        quote=chunk.text[found.start : found.end],
        quote_start=chunk.start + found.start,
        quote_end=chunk.start + found.end,
        verified=found.share >= SUPPORT,
    )


def _numbers(marker: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", marker)]
