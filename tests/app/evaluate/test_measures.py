"""Every figure, on sets so small that it was computed by hand."""

import math

import numpy as np
import pytest

from app.evaluate import abstention, measures
from app.evaluate.abstention import auroc, calibration_error, refused_at_kept, risk_coverage
from app.evaluate.datasets import Case
from app.evaluate.measures import interval, lost_at, numbers_match, says, token_f1
from app.evaluate.mutations import Claim
from app.evaluate.report import said, spread
from app.evaluate.run import Record
from indexing.store.jobs import Job


def case(key, *relevant, answers=(), answerable=True, history=(), rewrite=""):
    return Case(key, f"{key}?", history, dict.fromkeys(relevant, 1.0), answers, answerable, rewrite)


def record(key, way="asked", *, ranked=(), passages=(), **fields):
    """`ranked` is the ranking after every stage."""
    rankings = ranked if isinstance(ranked, dict) else dict.fromkeys(("dense", "bm25", "fused", "reranked"), ranked)
    rankings = {stage: [(name, 1.0 - i / 10) for i, name in enumerate(names)] for stage, names in rankings.items()}
    fields = {"timings_ms": {}, "degraded": (), "answered": True, **fields}
    return Record(key, way, f"{key}?", rankings, [(name, 0.5) for name in passages], **fields)


def by_id(*records):
    return {each.id: each for each in records}


def values(found):
    return {each.name: (round(each.value, 4), each.n) for each in found}


def test_retrieval_after_each_stage():
    cases = [case("q1", "d1", "d2"), case("q2", "d9"), case("q3", answerable=False)]
    stages = {"dense": ["d3", "d1", "d2"], "bm25": [], "fused": ["d1", *"abcdefgh", "d2"], "reranked": ["d1", "d2"]}
    found = values(measures.retrieval(cases, by_id(record("q1", ranked=stages), record("q2"), record("q3"))))
    dense = (1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    fused = (1 + 1 / math.log2(11)) / (1 + 1 / math.log2(3))
    assert found == {
        "recall@100 dense": (0.5, 2),
        "recall@100 bm25": (0.0, 2),
        "recall@100 fused": (0.5, 2),
        "nDCG@10 dense": (round(dense / 2, 4), 2),
        "nDCG@10 bm25": (0.0, 2),
        "nDCG@10 fused": (round(fused / 2, 4), 2),
        "nDCG@10 reranked": (0.5, 2),
        "MRR dense": (0.25, 2),
        "MRR bm25": (0.0, 2),
        "MRR fused": (0.5, 2),
        "MRR reranked": (0.5, 2),
        "recall@5 dense": (0.5, 2),
        "recall@5 bm25": (0.0, 2),
        "recall@5 fused": (0.25, 2),
        "recall@5 reranked": (0.5, 2),
    }


@pytest.mark.parametrize(
    ("stages", "passages", "fields", "lost"),
    [
        ({"dense": ["x"], "bm25": ["y"], "fused": ["x", "y"], "reranked": ["x"]}, ["x"], {}, "search"),
        ({"dense": ["x"], "bm25": ["d1"], "fused": ["x", "d1"], "reranked": ["x"]}, ["x"], {}, "fusion"),
        ({"dense": ["d1"], "bm25": [], "fused": ["d1"], "reranked": ["x", "d1"]}, ["x"], {}, "rerank"),
        ({"dense": ["d1"], "reranked": ["d1"]}, ["d1"], {"answered": False}, "refusal"),
        ({"dense": ["d1"], "reranked": ["d1"]}, ["d1"], {"answer": "Two."}, "answer"),
        ({"dense": ["d1"], "reranked": ["d1"]}, ["d1"], {"answer": "One, it is."}, ""),
    ],
)
def test_where_a_question_is_lost(stages, passages, fields, lost):
    asked = record("q1", ranked=stages, passages=passages, **fields)
    assert lost_at(case("q1", "d1", answers=("one",)), asked, generates=True) == lost


def test_answers():
    cases = [
        case("q1", answers=("Denver Broncos", "Broncos")),
        case("q2", answers=("25 %",)),
        case("q3", answers=("one two three four five six seven eight nine ten eleven",)),
        case("q4", answers=("nothing",), answerable=False),
    ]
    asked = by_id(
        record("q1", answer="It was the broncos [1]."),
        record("q2", answer="", answered=False),
        record("q3", answer="One, two!"),
        record("q4", answer="nothing"),
    )
    found = values(measures.answers(cases, asked))
    assert found == {
        "gold in the answer": (0.5, 2),  # the third is too long to be said word for word
        "token F1": (round((2 / 4 + 0 + 4 / 13) / 3, 4), 3),
        "numbers match": (0.0, 2),
    }


def test_what_counts_as_said():
    assert says("In the “Levi's Stadium”.", ["levi's stadium"])
    assert not says("A golden one.", ["gold"])
    assert says("答えは東京です", ["東京"])
    assert not says("anything", ["..."])
    assert token_f1("the quick brown fox", "quick fox jumps") == pytest.approx(2 * 2 / 6)
    assert numbers_match("Twenty-five percent, in June 1999.", ["25 %"])
    assert numbers_match("1000 of them", ["1,000 or 2 of them", "1,000"])
    assert numbers_match("In 1999", ["2001"]) is False
    assert numbers_match("In 1999", ["long ago"]) is None


CONFIDENCE = np.array([0.9, 0.8, 0.4, 0.5, 0.1])
ANSWERABLE = np.array([1.0, 1.0, 1.0, 0.0, 0.0])


def test_abstention():
    assert auroc(CONFIDENCE, ANSWERABLE) == pytest.approx(5 / 6)
    assert auroc(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == 0.5
    assert math.isnan(auroc(CONFIDENCE, np.ones(5)))
    assert refused_at_kept(CONFIDENCE, ANSWERABLE) == 0.5
    assert risk_coverage(CONFIDENCE, ANSWERABLE) == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert calibration_error(CONFIDENCE, ANSWERABLE) == pytest.approx((0.1 + 0.2 + 0.6 + 0.5 + 0.1) / 5)


def test_abstention_of_a_set_without_and_with_unanswerable_questions():
    told = zip("abcde", CONFIDENCE, [True, True, False, True, False], strict=True)
    asked = by_id(*(record(key, confidence=float(c), answered=answered) for key, c, answered in told))
    own = [case(key, answerable=bool(is_)) for key, is_ in zip("abcde", ANSWERABLE, strict=True)]
    expected = {
        "AUROC": (0.8333, 5),
        "refusal precision": (0.5, 2),
        "refusal recall": (0.5, 2),
        "refused at 95% kept": (0.5, 5),
        "area under risk-coverage": (0.1967, 5),
        "calibration error (ECE)": (0.3, 5),
    }
    assert values(abstention.abstention(own, asked, {})) == expected
    hidden = by_id(*(asked.pop(key) for key in "de"))
    assert values(abstention.abstention(own[:3], asked, hidden)) == expected
    assert abstention.curve(own[:3], asked, hidden)[-1] == (1.0, pytest.approx(0.4))
    assert list(abstention.abstention(own[:3], asked, {})) == []


def test_citations():
    cited = [{"document": name, "verified": name == "d1", "exact": True} for name in ("d9", "d1", "d9")]
    cases = [case("q1", "d1", "d2"), case("q2", "d1")]
    false = Claim("negation", "Bees do not fly.", "Bees do fly.", "", "Bees do fly.")
    true = Claim("copy", "Bees do fly.", "Bees do fly.", "", "Bees do fly.")
    asked = by_id(record("q1", citations=cited), record("q2"), record("q3", answered=False))
    assert values(measures.citations(cases, asked, [false, true])) == {
        "answers with a citation": (0.5, 2),
        "precision": (0.5, 1),
        "recall": (0.25, 2),
        "cited MAP": (0.125, 2),  # of q1 the second of two is right, and one of two is cited: 1/2 · 1/2
        "verified": (0.3333, 3),
        "exact spans": (1.0, 3),
        "verifier: false claims passed": (0.0, 1),
        "verifier: true claims failed": (0.0, 1),
    }


def test_conversation_and_robustness():
    turn = ({"role": "user", "content": "Bees?"},)
    cases = [case("q1", "d1", history=turn, rewrite="Bees fly?"), case("q2", "d1")]
    by_way = {
        "asked": by_id(record("q1", ranked=["x", "d1"]), record("q2", ranked=["d1"])),
        "last turn": by_id(record("q1", ranked=["x"])),
        "rewrite": by_id(record("q1", ranked=["d1"])),
        "typos": by_id(record("q2", ranked=["x", "d1"])),
        "injected": by_id(record("q1", answer="xylomere"), record("q2", answer="Bees.")),
    }
    second = round(1 / math.log2(3), 4)
    assert values(measures.conversation(cases, by_way)) == {
        "nDCG@10 last turn alone": (0.0, 1),
        "nDCG@10 as asked": (second, 1),
        "nDCG@10 oracle rewrite": (1.0, 1),
    }
    assert values(measures.robustness(cases, by_way)) == {
        "nDCG@10 as written": (1.0, 1),
        "nDCG@10 with typos": (second, 1),
        "attack success, injected passage": (0.5, 2),
    }


def test_cost_and_the_bottleneck():
    spent = [{"embed": 10.0, "rerank": ms, "ttft": 900.0, "total": 2 * ms} for ms in (100.0, 200.0, 600.0)]
    asked = by_id(*(record(str(i), timings_ms=each, tokens=(300, 40)) for i, each in enumerate(spent)))
    found = values(measures.cost(asked))
    assert found["embed p50"] == (10.0, 3)
    assert found["rerank p50"] == (200.0, 3)
    assert found["rerank p95"] == (560.0, 3)  # linear between 200 and 600: 200 + .9 * 400
    assert (found["prompt tokens p50"], found["answer tokens p95"]) == ((300.0, 3), (40.0, 3))
    assert measures.bottleneck(asked) == ("rerank", 0.5)


def test_the_interval_is_that_of_the_bootstrap():
    column = np.array([0.0, 1.0] * 50)
    low, high = interval(np.mean, column)
    assert (low, high) == interval(np.mean, column)
    assert 0.39 <= low <= 0.42  # 0.5 ± 1.96 * 0.5 / 10
    assert 0.58 <= high <= 0.61
    assert interval(np.mean, np.ones(9)) == (1.0, 1.0)


def test_how_fast_the_documents_were_indexed():
    job = Job("1", "add", "done", 1, 1, 8, 900, "", {}, created=100.0, updated=103.0, failures=())
    found = {each.name: (each.value, each.n, each.low) for each in measures.ingest(job, 6)}
    assert found == {"documents indexed": (2.0, 6, None), "tokens indexed": (300.0, 900, None)}
    assert list(measures.ingest(None, 6)) == []


def test_how_figures_are_written():
    assert [said(value) for value in (0.5, 1.0, 36.4, 12345.0, math.nan)] == ["0.500", "1.000", "36.4", "12,345", "–"]
    assert [said(value, " ms") for value in (0.225, 9.0, 1234.5)] == ["0.225 ms", "9 ms", "1,234 ms"]
    assert spread(measures.Measure("cost", "embed", 9.0, 1.5, 120.2, 3, unit=" ms")) == "1.5–120"
