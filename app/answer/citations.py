"""Checks each sentence of an answer against the passages, and cites the one that carries it.

A claim is a sentence, list item or table row of the answer. The passages that the model itself names are tried first;
where they do not carry the claim, the others are, and the marker moves. A marker that no passage earns is kept, and
not `verified`; one that names no passage is dropped. Nothing else is altered: code, URLs, list numbers and `x[0]` stay.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.answer.languages import language_of
from app.answer.passages import Passage
from app.answer.segments import is_fence, leans, sentences
from app.answer.terms import terms
from app.answer.verdict import VERIFIED, Outcome, Verdict
from app.answer.verify import verify
from app.settings import Grounding
from indexing.document import passage as under_heading

Settle = Callable[[str, Sequence[tuple[str, Verdict]]], Awaitable[Sequence[Verdict]]]
"""(claim, (premise, verdict) of each passage) -> the verdicts, those that the rules leave open decided."""

_NUMBERS = r"\d{1,3}(?: *[,;–-] *\d{1,3})*"
_TOKEN = re.compile(
    rf"(?P<code>`{{3,}}|`[^`\n]+`|https?://[^\s)\]]+)"
    rf"|(?P<marker>\[(?:[Ss]ources?|[Pp]assages?)? *{_NUMBERS}\]|【{_NUMBERS}[^】\n]*】)"
    r"|(?P<stop>(?:[.!?]+[\"'”’)\]]*|[。！？।؟]+[」』”）]*))|(?P<space>\s+)"
    r"|(?P<word>(?:[^\s.!?\[`【。！？।؟](?!ttps?://))+|.)"
)
_REST = r"[^\s.!?\[`【。！？।؟]*"
_UNFINISHED = re.compile(
    rf"(`+|https?:\S*|\[[^\]\n]{{0,40}}(?:\]{_REST})?|【[^】\n]{{0,40}}(?:】{_REST})?"
    rf"|[.!?。！？।؟]+[\"'”’)\]」』）]*{_REST}|\s+|{_REST})$"
)
"""What may go on in the next piece: a marker, a stop or a word."""
_TICKS = re.compile(r"(?<!`)`(?!`)")
_LEAD = re.compile(r"\s*(?:[-*•>#]+|\d{1,3}[.)])\s*")
_MAX_RANGE = 20
_OWN_MARKER = re.compile(r"(?<![\w\])])\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_INDEX = re.compile(r"\[(?=\d{1,3}(?:\s*,\s*\d{1,3})*\])")


@dataclass(frozen=True, slots=True)
class Citation:
    """answer[start:end] is the claim; document text[quote_start:quote_end] is what carries it."""

    index: int
    start: int
    end: int
    quote: str
    quote_start: int
    quote_end: int
    support: Outcome
    support_score: float

    @property
    def verified(self) -> bool:
        return self.support in VERIFIED


class CitationChecker:
    """Checks the sentences of an answer while it is generated; returns its text, and Citations after each sentence.

    The texts that it returns join to `answer`. The end of a sentence is held back until the next one begins; under
    `strict` and `repair` the whole sentence is. `strict` stops (`left_passages`) at the first that no passage supports
    or that only repeats the question; `repair` drops each of those, with what leans on it ("The second ...").
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        question: str = "",
        grounding: Grounding = "mark",
        settle: Settle | None = None,
    ) -> None:
        self._settle = settle
        self._events: list[str | Citation] = []
        self._passages = {passage.index: passage for passage in passages}
        self._asked = {term.key for term in terms(question)}
        self._grounding = grounding
        self._pending = ""
        self._space = ""
        self._stop = ""
        self._draft = ""
        self._released = 0
        self._claim_start = 0
        self._named: list[int] = []
        self._in_fence = False
        self.left_passages = False
        self._dropped_last = False

    @property
    def answer(self) -> str:
        """The text returned so far."""
        return self._draft[: self._released]

    async def feed(self, text: str) -> list[str | Citation]:
        self._pending += text
        held = _UNFINISHED.search(self._pending)
        ready = self._pending[: held.start()] if held else self._pending
        line = ready[ready.rfind("\n") + 1 :]
        if len(_TICKS.findall(line)) % 2:  # code that does not end yet
            ready = ready[: ready.rfind("`")]
        self._pending = self._pending[len(ready) :]
        await self._read(ready)
        return self._taken()

    async def finish(self) -> list[str | Citation]:
        await self._read(self._pending)
        self._pending = ""
        if not self.left_passages:
            await self._end_sentence()
        return self._taken()

    def _taken(self) -> list[str | Citation]:
        events, self._events = self._events, []
        return events

    async def _read(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            if self.left_passages:
                return
            kind, is_plain = token.lastgroup, not (self._in_fence or self._in_row)
            named = [number for number in _numbers(token[0]) if number in self._passages] if kind == "marker" else []
            self._named += [] if self._in_fence else named
            if kind == "space":
                self._space += token[0]
            elif kind == "marker" and is_plain and (named or not self._touches_a_word):
                self._space = ""
            elif kind == "stop" and is_plain and not self._space:
                self._stop += token[0]
            else:
                await self._word(token[0])
        if self._grounding == "mark":
            self._release()

    @property
    def _in_row(self) -> bool:
        """True in a row of a table, whose cells keep their markers."""
        return self._draft[self._claim_start :].lstrip().startswith("|")

    @property
    def _touches_a_word(self) -> bool:
        """True right behind a word, where a marker that names no passage is an index: `x[0]`."""
        return not self._space and not self._stop and self._draft[-1:].isalnum()

    async def _word(self, word: str) -> None:
        if self._ends_before(word):
            await self._end_sentence()
            if self.left_passages:
                return
            self._write(self._space if self._draft else "")
            self._claim_start = len(self._draft)
        else:
            self._write(self._stop + (self._space if self._draft else ""))
        self._stop = self._space = ""
        if is_fence(word) and not self._draft[self._claim_start :].strip():
            self._in_fence = not self._in_fence
        self._write(word)

    def _ends_before(self, word: str) -> bool:
        """Return True where a new line, or by the rules of its language a new sentence, begins with this word."""
        if "\n" in self._space:
            return True
        claim = self._draft[self._claim_start :]
        if not self._stop or self._in_fence or _LEAD.fullmatch(claim + self._stop):
            return False
        before = claim + self._stop
        return sentences(f"{before}{self._space}{word}")[-1][0] >= len(before)

    async def _end_sentence(self) -> None:
        """Check the sentence that ends here, and write its markers and its full stop."""
        claim = self._draft[self._claim_start :]
        lead = _LEAD.match(claim)
        said = claim[lead.end() :] if lead else claim
        named, self._named = list(dict.fromkeys(self._named)), []
        found = [] if self._in_fence or not said.strip() else await self._carried(said, named)
        if self._grounding != "mark" and said.strip() and not self._in_fence and not self._may_stay(said, found):
            self._draft = self.answer
            self._stop = ""
            self._claim_start = len(self._draft)
            self.left_passages = self._grounding == "strict"
            self._dropped_last = True
            return
        self._dropped_last = False
        start, end = self._claim_start + len(claim) - len(said.lstrip()), len(self._draft.rstrip())
        if not self._in_row:
            self._write("".join(f" [{passage.index}]" for passage, _ in found))
        self._write(self._stop)
        self._stop = ""
        self._claim_start = len(self._draft)
        self._release()
        self._events += [citation_of(passage, verdict, start, end) for passage, verdict in found]

    async def _carried(self, claim: str, named: Sequence[int]) -> list[tuple[Passage, Verdict]]:
        """Return the passages to cite: those that the model named that carry the claim, else the first that does."""
        found: list[tuple[Passage, Verdict]] = []
        for number in dict.fromkeys([*named, *self._passages]):
            found.append((self._passages[number], verify_against(claim, self._passages[number])))
            if len(found) >= len(named) and (carried := [pair for pair in found if pair[1].verified]):
                return carried
        if self._settle:
            passages = [passage for passage, _ in found]
            verdicts = await self._settle(claim, [(premise(*pair), pair[1]) for pair in found])
            found = list(zip(passages, verdicts, strict=True))
        mine, others = found[: len(named)], found[len(named) :]
        carried = [pair for pair in mine if pair[1].verified] or [pair for pair in others if pair[1].verified][:1]
        return carried or mine

    def _may_stay(self, claim: str, found: Sequence[tuple[Passage, Verdict]]) -> bool:
        if self._dropped_last and leans(claim, language_of(claim)):
            return False
        adds = any(term.key not in self._asked for term in terms(claim))
        return adds and any(verdict.verified for _, verdict in found)

    def _write(self, text: str) -> None:
        self._draft += text

    def _release(self) -> None:
        if text := self._draft[self._released :]:
            self._released = len(self._draft)
            self._events.append(text)


def without_markers(text: str) -> str:
    """Write a passage's own [2] as (2), which cites nothing; in x[2] it only gets a zero-width space."""
    return _INDEX.sub("[\u200b", _OWN_MARKER.sub(r"(\1)", text))


def verify_against(claim: str, passage: Passage) -> Verdict:
    return verify(claim, passage.chunk.text, passage.chunk.heading)


def premise(passage: Passage, verdict: Verdict) -> str:
    """Return the quote of a verdict under its passage's heading."""
    return under_heading(passage.chunk.heading, passage.chunk.text[verdict.start : verdict.end])


def citation_of(passage: Passage, verdict: Verdict, start: int, end: int) -> Citation:
    """Cite a part of a passage for the claim at answer[start:end]."""
    chunk = passage.chunk
    return Citation(
        index=passage.index,
        start=start,
        end=end,
        quote=chunk.text[verdict.start : verdict.end],
        quote_start=chunk.start + verdict.start,
        quote_end=chunk.start + verdict.end,
        support=verdict.support,
        support_score=round(verdict.score, 3),
    )


def _numbers(marker: str) -> list[int]:
    """Return the numbers of [1], [1, 2], [1-3], [Source 1] or 【1】."""
    numbers: list[int] = []
    for part in re.findall(r"\d+\s*[–-]\s*\d+|\d+", marker.partition("†")[0]):
        first, *last = (int(number) for number in re.findall(r"\d+", part))
        numbers += range(first, min(last[0], first + _MAX_RANGE) + 1) if last else [first]
    return numbers
