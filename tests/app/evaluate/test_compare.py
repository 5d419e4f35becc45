"""What a run is told of a baseline: paired tests, with their p computed by hand."""

import json

import pytest

from app.evaluate.compare import compare, paired_test, read_baseline
from app.evaluate.measures import Measure
from services.errors import BadRequestError, NotFoundError


def measure(name, values, *, stage="retrieval", better=True):
    questions = {str(i): value for i, value in enumerate(values)}
    mean = sum(values) / len(values)
    return Measure(stage, name, mean, mean, mean, len(values), higher_is_better=better, questions=questions)


def baseline(*measures):
    return {
        "measures": [{"stage": m.stage, "name": m.name, "value": m.value, "questions": m.questions} for m in measures]
    }


def test_mcnemar_s_exact_test_for_yes_and_no():
    before = {str(i): 1.0 for i in range(10)}
    now = {**before, **{str(i): 0.0 for i in range(8)}, "new": 1.0}
    change, n, p = paired_test(now, before)
    assert (change, n) == (-0.8, 10)
    assert p == pytest.approx(2 / 2**8)
    assert paired_test({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}) == (0.0, 2, 1.0)


def test_a_paired_bootstrap_for_other_values():
    before = {str(i): 0.5 + i / 100 for i in range(20)}
    assert paired_test(before, before)[2] == 1.0
    change, n, p = paired_test({key: value - 0.1 for key, value in before.items()}, before)
    assert (round(change, 4), n) == (-0.1, 20)
    assert p < 0.001
    mixed = {key: value + (0.1 if int(key) % 2 else -0.1) for key, value in before.items()}
    assert paired_test(mixed, before)[2] > 0.5


def test_a_drop_is_told_from_a_rise_and_from_chance():
    ones, worse, slightly = [1.0] * 20, [0.0] * 12 + [1.0] * 8, [0.0] + [1.0] * 19
    now = [
        measure("a", worse),
        measure("b", slightly),
        measure("c", worse, better=False),
        measure("d", worse, stage="cost"),
    ]
    before = [
        measure("a", ones),
        measure("b", ones),
        measure("c", ones, better=False),
        measure("d", ones, stage="cost"),
    ]
    found = {each.measure.name: each for each in compare(now, baseline(*before))}
    assert found["a"].is_drop
    assert not found["b"].is_drop
    assert found["c"].is_significant
    assert not found["c"].is_drop  # less is better
    assert found["d"].p is None  # a time differs between machines


def test_many_measures_need_a_smaller_p():
    ones, seven_worse = [1.0] * 20, [0.0] * 7 + [1.0] * 13  # p = 2 / 2**7 = .016
    one = compare([measure("a", seven_worse)], baseline(measure("a", ones)))
    assert [each.is_drop for each in one] == [True]
    same = [measure(name, ones) for name in "bcde"]
    many = compare([measure("a", seven_worse), *same], baseline(measure("a", ones), *same))
    assert [each.is_drop for each in many] == [False] * 5  # Holm: .016 > .05 / 5


def test_what_is_no_baseline_is_refused_by_a_sentence(tmp_path):
    file = tmp_path / "run.json"
    with pytest.raises(NotFoundError, match="no such baseline"):
        read_baseline(file)
    for content in ("{", "[]", "{}", "1"):
        file.write_text(content)
        with pytest.raises(BadRequestError, match="was not written by `ragline eval --json`"):
            read_baseline(file)
    file.write_text(json.dumps({"format": 99}))
    with pytest.raises(BadRequestError, match="is of format 99"):
        read_baseline(file)
    with pytest.raises(BadRequestError, match="no question of this run is in the baseline"):
        compare(
            [measure("a", [1.0])],
            {"measures": [{"stage": "retrieval", "name": "a", "value": 1.0, "questions": {"x": 1.0}}]},
        )
