"""The types of a request's stages: Query -> Candidate -> Passage, and the fusion between the first two."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing.document import Hit, StoredChunk

SEARCH_WEIGHT = 0.7
"""What the searches' z-scores count beside the cross-encoder's; .5 to 1 are as good."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for, and how many: hits of each search (top_k), reranked (rerank_depth), kept (top_n)."""

    text: str
    collection: str
    filters: Mapping[str, Any] | None
    top_k: int
    rerank_depth: int
    top_n: int
    min_score: float | None
    last_turn: str = ""
    """The last turn of a conversation, searched beside `text`, which is that with words of the turn before; else ""."""

    @property
    def forms(self) -> list[str]:
        """What is searched; the cross-encoder reads the first."""
        return [self.text, self.last_turn] if self.last_turn else [self.text]


@dataclass(frozen=True, slots=True)
class Fused:
    """A chunk's scores of both searches; None from a search that did not find it."""

    chunk_id: int
    score: float
    """The mean of the searches' z-scores."""
    dense_score: float | None
    bm25_score: float | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fused hit with its text; `rank` counts from 1, before the rerank."""

    chunk: StoredChunk
    hit: Fused
    rank: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A candidate that reached the answer. `index` is its citation number, from 1."""

    index: int
    chunk: StoredChunk
    hit: Fused
    rank_before: int
    logit: float | None
    """The cross-encoder's raw logit; None when it did not run."""
    score: float
    """sigmoid(logit), or the fused score where there is no logit."""
    pages: tuple[int, ...] = ()
    """Start of each page in the document's text; () where its format has none."""

    def page_at(self, offset: int) -> int | None:
        """Return the page, from 1, of an offset in the document's text."""
        return page_at(self.pages, offset)


def page_at(pages: Sequence[int], offset: int) -> int | None:
    """Return the page, from 1, of an offset, by the start of each page; None without pages."""
    return max(1, bisect_right(pages, offset)) if pages else None


def fuse(dense: Sequence[Sequence[Hit]], sparse: Sequence[Sequence[Hit]], top_k: int) -> list[Fused]:
    """Fuse rankings by the mean of their z-scores, best first; ties keep the order of the first ranking.

    A chunk that a search did not find has at most the score of the last that it did; 0, where it found less than top_k.
    """
    found = list(dict.fromkeys(hit.chunk_id for hits in (*dense, *sparse) for hit in hits))
    rows = [_scores(hits, found, top_k) for hits in (*dense, *sparse) if hits]
    if not rows:
        return []
    means = np.mean([z_scores(row) for row in rows], axis=0)
    dense_scores, sparse_scores = _best(dense), _best(sparse)
    return [
        Fused(found[i], float(means[i]), dense_scores.get(found[i]), sparse_scores.get(found[i]))
        for i in np.argsort(-means, kind="stable")
    ]


def best_first(candidates: Sequence[Candidate], logits: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the places of the candidates, best first, by z-score of the logit and SEARCH_WEIGHT times the fused score.

    What the cross-encoder finds relevant, a logit above 0, comes before the rest. Its order alone falls below that of
    the searches on texts that it does not know (docs/log.md). Ties keep the order.
    """
    fused = np.array([candidate.hit.score for candidate in candidates])
    return np.lexsort((-(z_scores(logits) + SEARCH_WEIGHT * fused), logits <= 0))


def z_scores(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return how many standard deviations each score (n,) is above their mean; zeros where all are equal."""
    centred = scores - np.mean(scores, dtype=np.float64)
    deviation = centred.std()
    return centred / deviation if deviation > 0 else np.zeros(len(scores))


def _scores(hits: Sequence[Hit], chunk_ids: Sequence[int], top_k: int) -> NDArray[np.float64]:
    scores = {hit.chunk_id: hit.score for hit in hits}
    floor = hits[-1].score if len(hits) >= top_k else min(0.0, hits[-1].score)
    return np.array([scores.get(chunk_id, floor) for chunk_id in chunk_ids])


def _best(rankings: Sequence[Sequence[Hit]]) -> dict[int, float]:
    """Return the highest score of each chunk."""
    found: dict[int, float] = {}
    for hit in (hit for hits in rankings for hit in hits):
        found[hit.chunk_id] = max(hit.score, found.get(hit.chunk_id, hit.score))
    return found
