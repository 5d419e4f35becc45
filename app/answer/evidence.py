"""Picks the sentences of the passages that answer, with the cross-encoder.

A small language model answers better from two sentences than from a thousand tokens of passages (docs/log.md); and
where it writes nothing of use, the best sentence is quoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.answer.citations import Citation, citation_of, without_markers
from app.answer.passages import Passage
from app.answer.support import Support, sentences
from services.client import ScoreClient

MAX_SENTENCES = 64
MIN_WORDS = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentence passage.chunk.text[start:end], with its logit."""

    passage: Passage
    start: int
    end: int
    logit: float

    @property
    def text(self) -> str:
        return self.passage.chunk.text[self.start : self.end]

    def quote(self) -> tuple[str, str, Citation, str]:
        """Return the sentence as an answer: its text, the marker, the citation, the full stop."""
        sentence = without_markers(" ".join(self.text.split()))
        text = sentence.rstrip(".!?")
        citation = citation_of(self.passage, Support(1.0, self.start, self.end), 0, len(text))
        return text, f" [{self.passage.index}]", citation, sentence[len(text) :]


async def select_evidence(
    scorer: ScoreClient, question: str, passages: Sequence[Passage], count: int, deadline: float
) -> list[Evidence]:
    """Score the first MAX_SENTENCES sentences of the passages, and return the `count` best, best first."""
    spans = [
        (passage, start, end)
        for passage in passages
        for start, end in sentences(passage.chunk.text)
        if len(passage.chunk.text[start:end].split()) >= MIN_WORDS
    ][:MAX_SENTENCES]
    if not spans:
        return []
    texts = [passage.chunk.text[start:end] for passage, start, end in spans]
    logits = await scorer.score(question, texts, deadline=deadline)
    found = [Evidence(*span, float(logit)) for span, logit in zip(spans, logits, strict=True)]
    return sorted(found, key=lambda evidence: -evidence.logit)[:count]


def by_passage(evidence: Sequence[Evidence]) -> dict[int, str]:
    """Join the evidence of each passage, in the order of its text, by the passage's index."""
    ordered = sorted(evidence, key=lambda e: (e.passage.index, e.start))
    texts: dict[int, list[str]] = {}
    for sentence in ordered:
        texts.setdefault(sentence.passage.index, []).append(" ".join(sentence.text.split()))
    return {index: " ".join(parts) for index, parts in texts.items()}
