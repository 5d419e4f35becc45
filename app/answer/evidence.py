"""Picks the sentences of the passages that answer, with the cross-encoder.

A small language model answers better from two sentences than from a thousand tokens of passages, and the sentences
themselves are the best answer more often than what it writes (docs/log.md).
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.answer.citations import Citation, citation_of, without_markers
from app.answer.codes import codes_asked, codes_in, is_of_another
from app.answer.languages import language_of
from app.answer.passages import Passage
from app.answer.segments import joined_fragments, joined_lists, leans, line_start, list_said, sentences
from app.answer.tables import cells_of, is_row, is_rule, names_columns, row_said
from app.answer.terms import forms_of, terms
from app.answer.verdict import Verdict
from indexing.document import passage as under_heading
from services.client import ScoreClient

MAX_SENTENCES = 64
"""Sentences that the cross-encoder reads; of more, those that share the rarest words with the question."""
PASSAGE_WEIGHT = 0.5
"""What a logit of the passage counts beside one of the sentence."""
OVERLAP_WEIGHT = 0.5
"""What the terms that a sentence shares with the question count, by how rare they are in its passage."""
UNNAMED = 3.0
"""What a row counts less of whose three cells or more no column is named: nobody knows what they are values of."""
MARGIN = 5.0
"""Beside the best sentence stand others of its passage, at most this far under it."""
_HEADING = re.compile(r"(#{1,6}) +(.+)")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentence passage.chunk.text[start:end]; `score` is its logit, with what its passage and its words add."""

    passage: Passage
    start: int
    end: int
    score: float

    @property
    def is_row(self) -> bool:
        return is_row(self.passage.chunk.text[self.start : self.end])

    @property
    def said(self) -> str:
        """The sentence in one line; a table row as "column: value; column: value"."""
        return without_markers(" ".join(_said(self.passage, self.start, self.end).split()))


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: Passage
    start: int
    end: int
    said: str
    context: str
    """The sentence under its own heading, after the sentence on which it leans: what the cross-encoder reads."""
    is_unnamed: bool


async def select_evidence(
    scorer: ScoreClient, question: str, passages: Sequence[Passage], count: int, deadline: float
) -> list[Evidence]:
    """Score the sentences of the passages in their context; return the best, and others of its passage, best first.

    In place of those stands one of another passage that has the names of the question which the first one lacks.

    Sentences about others of a kind that the question asks for by number are none. Nor does a row stand beside one that
    has more of the question's words: it is of another name or year.
    """
    asked = codes_asked(question, codes_in("\n".join(passage.chunk.text for passage in passages)))
    every: list[_Candidate] = []
    shared: list[float] = []
    words: list[set[str]] = []
    for passage in passages:
        own = [each for each in _candidates(passage) if not is_of_another(each.context, asked)]
        every += own
        held, weights = _overlap(question, own, language_of(passage.chunk.text))
        words += held
        shared += weights
    best = sorted(np.argsort(-np.array(shared), kind="stable")[:MAX_SENTENCES])
    if not best:
        return []
    logits = await scorer.score(question, [every[i].context for i in best], deadline=deadline)
    found: list[tuple[Evidence, set[str]]] = []
    for i, logit in zip(best, logits, strict=True):
        each = every[i]
        score = float(logit) + PASSAGE_WEIGHT * (each.passage.logit or 0.0) + OVERLAP_WEIGHT * shared[i]
        score -= UNNAMED * each.is_unnamed
        found.append((Evidence(each.passage, each.start, each.end, score), words[i]))
    found.sort(key=lambda pair: -pair[0].score)
    (first, of_first), *others = found
    if count > 1 and (naming := _naming(question, first, [other for other, _ in others])):
        return [first, naming]
    chosen = [first]
    for other, of_other in others:
        overlaps = any(other.start < each.end and each.start < other.end for each in chosen)
        is_another_row = first.is_row and other.is_row and not of_first <= of_other
        if other.passage is first.passage and other.score >= first.score - MARGIN and not (overlaps or is_another_row):
            chosen.append(other)
    return chosen[:count]


def quote(evidence: Sequence[Evidence]) -> list[str | Citation]:
    """Return sentences as an answer, in the order of their passages: texts with markers, and a Citation after each."""
    events: list[str | Citation] = []
    written = 0
    for each in _in_order(evidence):
        body = each.said.rstrip(".!?。！？")
        stop = each.said[len(body) :] or "."
        text = f"{' ' if written else ''}{body}"
        start, end = written + bool(written), written + len(text)
        verdict = Verdict("quoted", "", 1.0, each.start, each.end)
        marker = f" [{each.passage.index}]{stop}"
        events += [text, marker, citation_of(each.passage, verdict, start, end)]
        written = end + len(marker)
    return events


def by_passage(evidence: Sequence[Evidence]) -> dict[int, str]:
    """Join the evidence of each passage, in the order of its text, by the passage's index."""
    said = [(each.passage.index, each.said) for each in _in_order(evidence)]
    return {index: " ".join(text for place, text in said if place == index) for index, _ in said}


def _in_order(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Sort by passage, that of the best sentence first, and by place."""
    places = [each.passage.index for each in evidence]
    return sorted(evidence, key=lambda each: (places.index(each.passage.index), each.start))


def _naming(question: str, first: Evidence, others: Sequence[Evidence]) -> Evidence | None:
    """Return the best sentence elsewhere with each name of the question that the first's passage lacks."""
    chunk = first.passage.chunk
    code = language_of(chunk.text)
    held = forms_of(terms(f"{chunk.heading}\n{chunk.text}", code))
    missing = [
        term for term in terms(question, code) if term.is_key and not term.is_number and not term.all_forms & held
    ]
    for each in others if missing else ():
        if each.passage is not first.passage and each.score >= first.score - MARGIN:
            forms = forms_of(terms(f"{each.passage.chunk.heading}\n{each.said}", code))
            if all(term.all_forms & forms for term in missing):
                return each
    return None


def _candidates(passage: Passage) -> list[_Candidate]:
    """Return the sentences of a passage that tell something, each under the headings that it stands under."""
    text = passage.chunk.text
    code = language_of(text)
    heading = passage.chunk.heading
    found: list[_Candidate] = []
    before = ""
    for start, end in joined_lists(text, list(joined_fragments(text, sentences(text)))):
        said = text[start:end]
        if title := _HEADING.match(text[line_start(text, start) : end]):
            above = heading.split(" > ")[: len(title[1]) - 1]
            heading, before = " > ".join([*above, title[2].strip()]), ""
        elif _tells(said) and not names_columns(text, start):
            read = _said(passage, start, end)
            lead = f"{before} " if before and leans(said, code) else ""
            context = under_heading(heading, lead + read)
            found.append(_Candidate(passage, start, end, read, context, _is_unnamed(passage, start, end)))
            before = said
    return found


def _said(passage: Passage, start: int, end: int) -> str:
    """Return a sentence as it is, a row of a table with the names of its columns."""
    text = passage.chunk.text
    said = text[start:end]
    return row_said(cells_of(text, passage.chunk.heading, start, end)) if is_row(said) else list_said(said)


def _is_unnamed(passage: Passage, start: int, end: int) -> bool:
    text = passage.chunk.text
    cells = cells_of(text, passage.chunk.heading, start, end) if is_row(text[start:end]) else []
    return len(cells) > 2 and not any(name for name, _ in cells)  # noqa: PLR2004


def _tells(text: str) -> bool:
    """Return False for a table's rule, and for a line of less than two terms without a number or a colon."""
    if is_rule(text):
        return False
    return len(terms(text)) > 1 or ":" in text or any(char.isdigit() for char in text)


def _overlap(question: str, candidates: Sequence[_Candidate], code: str) -> tuple[list[set[str]], list[float]]:
    """Return what of the question each sentence of a passage shares, and its weight.

    A term weighs log(1 + sentences / those that have it).
    """
    asked = forms_of(terms(question, code))
    held = [forms_of(terms(each.said, code)) & asked for each in candidates]
    frequency = Counter(form for forms in held for form in forms)
    return held, [sum(math.log(1 + len(held) / frequency[form]) for form in forms) for forms in held]
