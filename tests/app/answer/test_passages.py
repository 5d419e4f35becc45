from app.answer.passages import reciprocal_rank_fusion
from indexing.document import Hit


def test_fusion_adds_what_both_ranks_are_worth() -> None:
    dense, sparse = [Hit(1, 0.9), Hit(2, 0.8), Hit(3, 0.7)], [Hit(3, 12.0), Hit(4, 8.0)]
    fused = reciprocal_rank_fusion(dense, sparse, k=60)
    assert [hit.chunk_id for hit in fused] == [3, 1, 2, 4]
    assert fused[0].rrf_score == 1 / 63 + 1 / 61
    assert (fused[0].dense_score, fused[0].bm25_score) == (0.7, 12.0)
    assert (fused[1].dense_score, fused[1].bm25_score) == (0.9, None)


def test_ties_keep_the_dense_order() -> None:
    fused = reciprocal_rank_fusion([Hit(7, 0.1)], [Hit(5, 3.0)])
    assert [hit.chunk_id for hit in fused] == [7, 5]


def test_either_list_may_be_empty() -> None:
    assert [hit.chunk_id for hit in reciprocal_rank_fusion([], [Hit(5, 3.0), Hit(6, 1.0)])] == [5, 6]
    assert reciprocal_rank_fusion([], []) == []
