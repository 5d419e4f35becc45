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
from app.answer.languages import language_of
from app.answer.passages import Passage
from app.answer.segments import leans, sentences
from app.answer.terms import Term, terms
from app.answer.verify import Verdict
from indexing.document import passage as under_heading
from services.client import ScoreClient

MAX_SENTENCES = 64
"""Sentences that the cross-encoder reads; of more, those that share the rarest words with the question."""
PASSAGE_WEIGHT = 0.5
"""What a logit of the passage counts beside one of the sentence."""
_RULE = re.compile(r"[\s|:-]+")
_ROW = re.compile(r"\s*\|")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentence passage.chunk.text[start:end]; `score` is its logit with a share of its passage's."""

    passage: Passage
    start: int
    end: int
    score: float

    @property
    def text(self) -> str:
        return self.passage.chunk.text[self.start : self.end]

    @property
    def said(self) -> str:
        """The sentence in one line; a table row as "column: value; column: value"."""
        return without_markers(
            " ".join((_said(self.passage, self.start, self.end) if _ROW.match(self.text) else self.text).split())
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: Passage
    start: int
    end: int
    before: str
    """The sentence before, where this one leans on it ("It ...")."""


async def select_evidence(
    scorer: ScoreClient, question: str, passages: Sequence[Passage], count: int, deadline: float
) -> list[Evidence]:
    """Score the sentences of the passages under their headings, and return the `count` best, best first."""
    candidates = _shortlist(question, [each for passage in passages for each in _candidates(passage)])
    if not candidates:
        return []
    texts = [_read(each) for each in candidates]
    logits = await scorer.score(question, texts, deadline=deadline)
    found = [
        Evidence(each.passage, each.start, each.end, float(logit) + PASSAGE_WEIGHT * (each.passage.logit or 0.0))
        for each, logit in zip(candidates, logits, strict=True)
    ]
    return sorted(found, key=lambda evidence: -evidence.score)[:count]


def quote(evidence: Sequence[Evidence]) -> list[str | Citation]:
    """Return sentences as an answer, in the order of their passage: texts with markers, and a Citation after each."""
    events: list[str | Citation] = []
    written = 0
    for each in sorted(
        evidence, key=lambda e: (evidence[0].passage.index != e.passage.index, e.passage.index, e.start)
    ):
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
    texts: dict[int, list[str]] = {}
    for each in sorted(evidence, key=lambda e: (e.passage.index, e.start)):
        texts.setdefault(each.passage.index, []).append(each.said)
    return {index: " ".join(parts) for index, parts in texts.items()}


def _candidates(passage: Passage) -> list[_Candidate]:
    text = passage.chunk.text
    code = language_of(text)
    spans = [(start, end) for start, end in sentences(text) if _tells(text[start:end])]
    found = []
    for i, (start, end) in enumerate(spans):
        is_leaning = i and leans(text[start:end], code)
        found.append(_Candidate(passage, start, end, text[slice(*spans[i - 1])] if is_leaning else ""))
    return found


def _tells(text: str) -> bool:
    """Return False for a table's rule, and for a line of less than two terms without a number or a colon."""
    if _RULE.fullmatch(text):
        return False
    return len(terms(text)) > 1 or ":" in text or any(char.isdigit() for char in text)


def _shortlist(question: str, candidates: Sequence[_Candidate]) -> Sequence[_Candidate]:
    """Return the MAX_SENTENCES candidates that share the rarest terms with the question, in their order."""
    if len(candidates) <= MAX_SENTENCES:
        return candidates
    asked = _forms(terms(question))
    held = [_forms(terms(_read(each))) & asked for each in candidates]
    frequency = Counter(form for forms in held for form in forms)
    weights = [sum(math.log(1 + len(candidates) / frequency[form]) for form in forms) for forms in held]
    best = np.argsort(-np.array(weights), kind="stable")[:MAX_SENTENCES]
    return [candidates[i] for i in sorted(best)]


def _forms(found: Sequence[Term]) -> set[str]:
    return {form for term in found for form in (term.key, *term.forms)}


def _read(candidate: _Candidate) -> str:
    """What the cross-encoder reads: the sentence under its heading, after the one that it leans on."""
    chunk = candidate.passage.chunk
    text = chunk.text[candidate.start : candidate.end]
    if _ROW.match(text):
        text = _said(candidate.passage, candidate.start, candidate.end)
    return under_heading(chunk.heading, f"{candidate.before} {text}".strip())


def _said(passage: Passage, start: int, end: int) -> str:
    """Return a table row with the names of its columns, from the table's header in the chunk or in its heading."""
    above = passage.chunk.text[:start].rstrip("\n").split("\n")
    table = [line for line in above[_table_start(above) :] if line.strip()]
    header = table[0] if len(table) > 1 and _RULE.fullmatch(table[1]) else ""
    names = _cells(header) or [
        cell.strip() for cell in passage.chunk.heading.rpartition(" > ")[2].rpartition(": ")[2].split(" | ")
    ]
    cells = _cells(passage.chunk.text[start:end])
    if len(names) != len(cells):
        return "; ".join(cell for cell in cells if cell)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell)


def _table_start(lines: Sequence[str]) -> int:
    at = len(lines)
    while at and _ROW.match(lines[at - 1]):
        at -= 1
    return at


def _cells(row: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))] if row else []
