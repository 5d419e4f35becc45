"""Rows of identical inputs are kept where the settings say so."""

import numpy as np

from services.encoder.cache import RowCache
from services.engines.encoder.interface import Tokens
from services.http.metrics import Metrics


def tokens(*ids: int) -> Tokens:
    return Tokens(np.array(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.int64))


def row(value: float) -> np.ndarray:
    return np.array([[value]], dtype=np.float32)


def test_each_different_input_is_read_once():
    cache = RowCache(10, Metrics("test"))
    found = cache.find([tokens(1), tokens(2), tokens(1), tokens(3)])
    assert found.missing == [0, 1, 3]
    assert found.filled(np.concatenate([row(1), row(2), row(3)]))[:, 0].tolist() == [1, 2, 1, 3]
    again = cache.find([tokens(3), tokens(4)])
    assert again.missing == [1]
    assert again.filled(row(4))[:, 0].tolist() == [3, 4]


def test_the_least_recently_used_is_forgotten():
    cache = RowCache(2, Metrics("test"))
    cache.find([tokens(1)]).filled(row(1))
    cache.find([tokens(2)]).filled(row(2))
    cache.find([tokens(1)]).filled(row(0)[:0])
    cache.find([tokens(3)]).filled(row(3))
    assert len(cache) == 2
    assert cache.find([tokens(1), tokens(2), tokens(3)]).missing == [1]


def test_segments_make_a_difference():
    cache = RowCache(2, Metrics("test"))
    cache.find([tokens(1, 2)]).filled(row(1))
    assert cache.find([Tokens(np.array([1, 2]), np.array([0, 1]))]).missing == [0]


def test_a_server_with_a_cache_answers_the_same_and_counts(launch, score):
    served = launch("--task", "score", RAGLINE_SCORE__CACHE_ENTRIES="100")
    body = {"queries": "what is a cat", "documents": ["a cat", "a dog", "a cat"]}
    expected = [d["score"] for d in score.post("/score", json=body).json()["data"]]
    with served.client() as client:
        for _ in range(3):
            assert [d["score"] for d in client.post("/score", json=body).json()["data"]] == expected
        metrics = client.get("/metrics").text
    assert 'vllm:prefix_cache_hits_total{model_name="ms-marco-MiniLM-L-12-v2-int8"} 6.0' in metrics
