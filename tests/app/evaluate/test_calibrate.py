"""The fit and the bound, on made data whose truth is known."""

import math
import tomllib

import numpy as np
import pytest

from app.answer.answerability import FEATURES, Answerability
from app.evaluate.abstention import auroc
from app.evaluate.calibrate import (
    Samples,
    as_toml,
    calibrate,
    fit,
    least_n,
    probabilities,
    threshold_of,
    upper_bound,
)
from services.errors import BadRequestError


def made(cases: int, seed: int = 1) -> Samples:
    """Answerable by sigmoid(2 * top_logit - gap + 1); the other features say nothing."""
    draw = np.random.default_rng(seed)
    found = draw.normal(size=(cases, len(FEATURES)))
    odds = 1 / (1 + np.exp(-(1 + 2 * found[:, 0] - found[:, 1])))
    return Samples(found, draw.random(cases) < odds, np.arange(cases))


def test_the_fit_finds_the_weights_that_made_the_data() -> None:
    samples = made(20_000)
    weights = fit(samples.found, samples.answerable)
    assert weights == pytest.approx([1, 2, -1, 0], abs=0.08)
    moved = fit(samples.found * 10 + 5, samples.answerable)
    assert probabilities(moved, samples.found * 10 + 5) == pytest.approx(
        probabilities(weights, samples.found), abs=1e-6
    )


def test_the_fit_of_what_is_separable_is_finite() -> None:
    found = np.repeat([[0.0] * len(FEATURES), [1.0] * len(FEATURES)], 20, axis=0)
    weights = fit(found, found[:, 0] > 0)
    assert np.isfinite(weights).all()
    assert probabilities(weights, found)[-1] > 0.9


def test_the_bound_by_hand() -> None:
    assert least_n(0.05) == 59, "0.95 ** 59 = 0.0485"
    assert threshold_of(np.linspace(0, 0.5, 58), 0.05) is None
    (wrong := np.linspace(0, 0.5, 59)).sort()
    threshold = threshold_of(wrong, 0.05)
    assert threshold is not None
    assert threshold > wrong[-1], "none of 59 may be answered"
    assert threshold_of(np.linspace(0, 1, 93), 0.05) == math.nextafter(np.linspace(0, 1, 93)[-2], 2), "one of 93 may"
    assert upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59), abs=1e-5)
    assert upper_bound(3, 50) == pytest.approx(0.1480, abs=1e-3), "Clopper and Pearson, one side"
    assert upper_bound(50, 50) == 1


def test_the_bound_holds_in_19_of_20_draws_and_is_not_far_off() -> None:
    draw = np.random.default_rng(3)
    risks = [1 - threshold for _ in range(2_000) if (threshold := threshold_of(draw.random(200), 0.1)) is not None]
    assert np.mean(np.array(risks) > 0.1) <= 0.06, "of uniform scores, 1 - threshold are answered"
    assert np.mean(risks) > 0.05


def test_a_lower_risk_refuses_more() -> None:
    samples = made(2_000)
    found = [calibrate(samples, "a/b", -11.0, risk) for risk in (0.02, 0.05, 0.1, 0.3)]
    thresholds = [model.threshold for model, _ in found]
    assert thresholds == sorted(thresholds, reverse=True)
    kept = [report["answerable_kept"] for _, report in found]
    assert kept == sorted(kept)


def test_what_is_promised_holds_for_questions_that_were_not_seen() -> None:
    for seed in range(10):
        model, report = calibrate(made(1_000, seed), "a/b", -11.0, 0.1)
        fresh = made(4_000, seed + 100)
        weights = np.array([model.bias, *model.weights.values()])
        scores = probabilities(weights, fresh.found)
        risk = (scores[~fresh.answerable] >= model.threshold).mean()
        assert risk <= 0.13
        assert report["auroc"] == pytest.approx(auroc(scores, fresh.answerable.astype(float)), abs=0.05)


def test_too_few_questions_for_a_risk_are_said() -> None:
    with pytest.raises(BadRequestError, match=r"a risk of 0\.01 takes 299 unanswerable questions"):
        calibrate(made(200), "a/b", -11.0, 0.01)


def test_it_is_the_same_each_time_and_read_as_it_was_written() -> None:
    one, two = calibrate(made(300), "a/b", -11.0, None), calibrate(made(300), "a/b", -11.0, None)
    assert one == two
    assert Answerability(**tomllib.loads(as_toml(one[0], "Made\ndata"))) == one[0]
