"""The sentences of the passages that answer, picked by the cross-encoder.

A small language model loses its way in a thousand tokens of passages, and finds it in two sentences; and a sentence
that answers can be quoted where the model has nothing of its own to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.answer.citations import Citation, citation_of
from app.answer.passages import Passage
from app.answer.support import Support, sentences
from services.client import ScoreClient

MAX_SENTENCES = 64
MIN_WORDS = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """passage.chunk.text[start:end], and the cross-encoder's logit of it."""

    passage: Passage
    start: int
    end: int
    logit: float

    @property
    def text(self) -> str:
        return self.passage.chunk.text[self.start : self.end]

    def quote(self) -> tuple[str, str, Citation, str]:
        """An answer that is this sentence: its text, the marker, the citation, the full stop."""
        sentence = " ".join(self.text.split())
        text = sentence.rstrip(".!?")
        citation = citation_of(self.passage, Support(1.0, self.start, self.end), 0, len(text))
        return text, f" [{self.passage.index}]", citation, sentence[len(text) :]


async def select_evidence(
    scorer: ScoreClient, question: str, passages: Sequence[Passage], count: int, deadline: float
) -> list[Evidence]:
    """The `count` best sentences, best first."""
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


def in_passages(evidence: Sequence[Evidence]) -> dict[int, str]:
    """The evidence of each passage by its index, in the text's own order."""
    ordered = sorted(evidence, key=lambda e: (e.passage.index, e.start))
    texts: dict[int, list[str]] = {}
    for sentence in ordered:
        texts.setdefault(sentence.passage.index, []).append(" ".join(sentence.text.split()))
    return {index: " ".join(parts) for index, parts in texts.items()}
