"""top_k, top_p and temperature against their definitions, row by row."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from services.engines.generator.torch_sampler import CANDIDATES, Sampler  # noqa: E402

SIZE = 3000


def sampled(scores, rows):
    """(n, vocabulary) logits that are left. rows: (temperature, top_k, top_p) of each."""
    temperature, top_k, top_p = zip(*rows, strict=True)
    arguments = torch.zeros(3, 64, dtype=torch.int32)
    arguments[0, : len(rows)] = torch.tensor(temperature).view(torch.int32)
    arguments[1, : len(rows)] = torch.tensor(top_k, dtype=torch.int32)
    arguments[2, : len(rows)] = torch.tensor(top_p).view(torch.int32)
    return Sampler()(None, scores, arguments)


def defined(scores, temperature, top_k, top_p):
    """The tokens that may be drawn."""
    order = scores.argsort(descending=True)[:top_k]
    shares = (scores[order] / temperature).softmax(dim=-1)
    return set(order[(shares.cumsum(dim=-1) - shares < top_p) | (top_p == 1)].tolist())


def test_the_tokens_that_may_be_drawn_are_those_of_the_definition():
    torch.manual_seed(0)
    rows = [(1.0, SIZE, 1.0), (0.7, 20, 0.8), (1.5, 50, 1.0), (1.0, SIZE, 0.5), (2.0, 3, 0.01)]
    scores = torch.randn(len(rows), SIZE) * 4
    left = sampled(scores, rows)
    for row, (logits, how) in enumerate(zip(scores, rows, strict=True)):
        kept = left[row].isfinite()
        assert set(kept.nonzero().flatten().tolist()) == defined(logits, *how)
        torch.testing.assert_close(left[row][kept], (logits / how[0])[kept])


def test_greedy_is_the_first_of_equal_maxima():
    scores = torch.zeros(2, SIZE)
    scores[0, [7, 1500, 2999]] = 3.0
    left = sampled(scores, [(1.0, 1, 1.0)] * 2)
    assert [row.isfinite().nonzero().flatten().tolist() for row in left] == [[7], [0]]
    assert {tuple(left.softmax(dim=-1).multinomial(1).flatten().tolist()) for _ in range(20)} == {(7, 0)}


def test_a_nucleus_wider_than_the_candidates_is_cut_to_them():
    left = sampled(torch.zeros(1, SIZE), [(1.0, SIZE, 0.9)])
    assert left.isfinite().sum() == CANDIDATES
