"""The types of a request's stages: Query -> Candidate -> Passage, and the fusion between the first two."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexing.document import Hit, StoredChunk


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


@dataclass(frozen=True, slots=True)
class Fused:
    """A chunk's scores of both searches; None from a search that did not find it."""

    chunk_id: int
    rrf_score: float
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
    """sigmoid(logit), or the RRF score where there is no logit."""
    pages: tuple[int, ...] = ()
    """Start of each page in the document's text; () where its format has none."""

    def page_at(self, offset: int) -> int | None:
        """Return the page, from 1, of an offset in the document's text."""
        return page_at(self.pages, offset)


def page_at(pages: Sequence[int], offset: int) -> int | None:
    """Return the page, from 1, of an offset, by the start of each page; None without pages."""
    return max(1, bisect_right(pages, offset)) if pages else None


def reciprocal_rank_fusion(dense: Sequence[Hit], sparse: Sequence[Hit], k: int = 60) -> list[Fused]:
    """Fuse two rankings by the sum of 1 / (k + rank), best first; ties keep the dense order.

    Source: Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009 (k = 60).
    """
    dense_scores = {hit.chunk_id: hit.score for hit in dense}
    sparse_scores = {hit.chunk_id: hit.score for hit in sparse}
    sums: dict[int, float] = {}
    for hits in (dense, sparse):
        for rank, hit in enumerate(hits, start=1):
            sums[hit.chunk_id] = sums.get(hit.chunk_id, 0.0) + 1 / (k + rank)
    best_first = sorted(sums, key=lambda chunk_id: -sums[chunk_id])
    return [Fused(i, sums[i], dense_scores.get(i), sparse_scores.get(i)) for i in best_first]
