import numpy as np
import pytest

from app.answer.passages import Candidate, best_first, fuse, z_scores
from indexing.document import Hit, StoredChunk


def candidates(*fused: float) -> list[Candidate]:
    chunk = StoredChunk(1, "d", 0, "text", 0, 4, None, "", "d.md", "D", {})
    return [
        Candidate(chunk, hit, rank)
        for rank, hit in enumerate(fuse([[Hit(n, s) for n, s in enumerate(fused)]], [], len(fused)), 1)
    ]


def test_a_fused_score_is_the_mean_of_both_z_scores() -> None:
    dense, sparse = [Hit(1, 0.9), Hit(2, 0.8), Hit(3, 0.4)], [Hit(3, 12.0), Hit(2, 8.0), Hit(1, 1.0)]
    fused = fuse([dense], [sparse], top_k=3)
    assert [hit.chunk_id for hit in fused] == [2, 3, 1]
    spreads = np.std([0.9, 0.8, 0.4]), np.std([12.0, 8.0, 1.0])
    assert fused[0].score == pytest.approx((0.1 / spreads[0] + 1 / spreads[1]) / 2)
    assert (fused[0].dense_score, fused[0].bm25_score) == (0.8, 8.0)


def test_a_chunk_that_a_full_search_did_not_find_has_the_score_of_its_last() -> None:
    fused = fuse([[Hit(1, 0.9), Hit(2, 0.5)]], [[Hit(3, 9.0), Hit(4, 8.0)]], top_k=2)
    z_dense, z_sparse = z_scores(np.array([0.9, 0.5, 0.5, 0.5])), z_scores(np.array([8.0, 8.0, 9.0, 8.0]))
    means = dict(zip((1, 2, 3, 4), (z_dense + z_sparse) / 2, strict=True))
    assert {hit.chunk_id: hit.score for hit in fused} == pytest.approx(means)
    assert {hit.chunk_id: (hit.dense_score, hit.bm25_score) for hit in fused}[3] == (None, 9.0)


def test_the_only_chunk_with_a_word_of_the_question_is_first() -> None:
    """BM25 gives 0 to all that it does not find, and here it had room for more."""
    dense = [Hit(n, 0.8 - n / 100) for n in range(20)]
    assert fuse([dense], [[Hit(12, 0.2)]], top_k=20)[0].chunk_id == 12


def test_each_form_of_a_question_counts_alike() -> None:
    alone = fuse([[Hit(1, 0.9), Hit(2, 0.1)]], [[Hit(1, 3.0), Hit(2, 1.0)]], 2)
    twice = fuse([[Hit(1, 0.9), Hit(2, 0.1)]] * 2, [[Hit(1, 3.0), Hit(2, 1.0)]] * 2, 2)
    assert twice == alone
    forms = fuse([[Hit(1, 0.75), Hit(2, 0.5), Hit(3, 0.25)], [Hit(3, 0.5), Hit(2, 0.25), Hit(1, 0.0)]], [], 3)
    assert [hit.score for hit in forms] == pytest.approx([0, 0, 0])
    assert {hit.chunk_id: hit.dense_score for hit in forms} == {1: 0.75, 2: 0.5, 3: 0.5}


def test_ties_keep_the_dense_order() -> None:
    assert [hit.chunk_id for hit in fuse([[Hit(7, 0.1)]], [[Hit(5, 3.0)]], 1)] == [7, 5]


def test_a_search_may_be_empty() -> None:
    assert [hit.chunk_id for hit in fuse([[]], [[Hit(5, 3.0), Hit(6, 1.0)]], 100)] == [5, 6]
    assert fuse([[]], [[]], 100) == fuse([], [], 100) == []


def order(fused: tuple[float, ...], *logits: float) -> list[int]:
    return list(best_first(candidates(*fused), np.array(logits, np.float32)))


def test_where_the_cross_encoder_finds_nothing_relevant_the_searches_have_a_say() -> None:
    assert order((3.0, 2.0, 1.0), -5.0, -4.9, -8.0) == [0, 1, 2]
    assert order((3.0, 2.0, 1.0), -9.0, -1.0, -9.0) == [1, 0, 2]
    assert order((3.0, 2.0, 1.0), -4.0, -4.0, -4.0) == [0, 1, 2]


def test_what_the_cross_encoder_finds_relevant_is_first() -> None:
    assert order((3.0, 2.0), -11.0, 9.0) == [1, 0]
    assert order((9.0, 1.1, 1.0), -0.1, 0.1, 8.0) == [2, 1, 0]
    assert order((3.0,), 2.0) == [0]
