"""`ragline calibrate`: fits the model of answerability on a set of questions, and bounds how often it errs.

A set without unanswerable questions gets them by taking the gold documents away from what the cross-encoder read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from app.answer.answerability import FEATURES, Answerability, Feature, features, reranker_of
from app.answer.followups import in_conversation
from app.answer.passages import Passage, Query
from app.answer.trace import Trace
from app.evaluate.abstention import KEPT, auroc, calibration_error, refused_at_kept, risk_coverage
from app.evaluate.datasets import Case
from app.evaluate.evaluation import Wanted, open_set
from app.evaluate.measures import Floats
from app.evaluate.run import limited
from app.settings import AppSettings
from indexing.document import file_of, passage
from services.errors import BadRequestError, UnavailableError

CONFIDENCE = 0.95
_SEED = 0
_FOLDS = 5
_L2 = 1.0
_MIN_CASES = 20


@dataclass(frozen=True, slots=True)
class Samples:
    """What is known of n questions; those of one case stay together."""

    found: Floats
    """(n, FEATURES)."""
    answerable: NDArray[np.bool_]
    """(n,)."""
    case: NDArray[np.int64]
    """(n,)."""

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Samples":
        return Samples(self.found[chosen], self.answerable[chosen], self.case[chosen])


async def calibrated(settings: AppSettings, wanted: Wanted, risk: float | None) -> tuple[Answerability, dict[str, Any]]:
    """Ask the questions of a set, and calibrate on what is found.

    Raises UnavailableError where a service fails, BadRequestError where nothing is reranked.
    """
    console, cases, ask = Console(stderr=True), list[tuple[Case, list[Passage]]](), settings.ask
    if not ask.rerank_depth:
        raise BadRequestError("ask.rerank_depth is 0, and without a rerank nothing tells how likely an answer is")
    async with open_set(settings, wanted, console) as opened:
        pipeline, collection = opened.asker.pipeline, opened.asker.collection
        chosen = list(limited(opened.dataset.cases, wanted.limit))
        for case in track(chosen, "searching", console=console, transient=True):
            if case.answerable is None:
                continue
            turn = Query(case.question, collection, None, ask.top_k, ask.rerank_depth, ask.rerank_depth, None)
            query = in_conversation(turn, case.history)
            read = await pipeline.retrieve(query, trace := Trace.starting(ask.deadline_s))
            if trace.degraded:
                raise UnavailableError("; ".join(trace.warnings))
            cases += [(case, read)] if read else []
    floor = min((each.logit or 0.0 for _, read in cases for each in read), default=0.0)
    return calibrate(samples_of(cases, floor), reranker_of(settings), floor, risk)


def samples_of(cases: Sequence[tuple[Case, Sequence[Passage]]], floor: float) -> Samples:
    """Return what a model can weigh of each case. Raises BadRequestError for too few of them."""
    makes = all(case.answerable for case, _ in cases)
    rows: list[tuple[dict[Feature, float], bool, int]] = []
    for number, (case, read) in enumerate(cases):
        rows.append((_features(case, read, floor), bool(case.answerable), number))
        left = [each for each in read if not {source := each.chunk.source, file_of(source)} & case.relevant.keys()]
        if makes and left and len(left) < len(read):
            rows.append((_features(case, left, floor), False, number))
    for kind, name in ((True, "answerable"), (False, "unanswerable")):
        if (count := sum(answerable == kind for _, answerable, _ in rows)) < _MIN_CASES:
            raise BadRequestError(f"the set gives {count} {name} questions, and a model needs {_MIN_CASES} of each")
    found = np.array([[row[name] for name in FEATURES] for row, _, _ in rows])
    return Samples(found, np.array([a for _, a, _ in rows], bool), np.array([n for _, _, n in rows]))


def _features(case: Case, read: Sequence[Passage], floor: float) -> dict[Feature, float]:
    logits = np.array([each.logit for each in read], np.float32)
    best = read[int(logits.argmax())].chunk
    return features(case.question, logits, passage(best.heading, best.text), floor)


def calibrate(
    samples: Samples, reranker: str, floor: float, risk: float | None
) -> tuple[Answerability, dict[str, Any]]:
    """Fit a model on one half of the cases, and set its threshold, or bound what it lets through, on the other.

    `risk`: the share of unanswerable questions that may be answered; None: the threshold keeps KEPT of the answerable.
    """
    first = np.isin(samples.case, _shuffled(samples.case)[::2])
    fitted, held = samples[first], samples[~first]
    weights = fit(fitted.found, fitted.answerable)
    scores, own = probabilities(weights, held.found), probabilities(weights, fitted.found)
    wrong, right = scores[~held.answerable], scores[held.answerable]
    threshold = float(np.quantile(own[fitted.answerable], 1 - KEPT))
    if risk is not None:
        bounded = threshold_of(wrong, risk)
        if bounded is None:
            raise BadRequestError(
                f"a risk of {risk:g} takes {least_n(risk)} unanswerable questions to set the threshold on, and half of "
                f"the set has {len(wrong)}; add questions, or allow a higher risk"
            )
        threshold = bounded
    across, labels = cross_validated(samples), samples.answerable.astype(np.float64)
    risks = risk_coverage(across, labels)
    counts = [max(1, round(len(risks) * tenth / 10)) for tenth in range(1, 11)]
    names = dict(zip(FEATURES, map(float, weights[1:]), strict=True))
    model = Answerability(reranker=reranker, threshold=threshold, floor=floor, bias=float(weights[0]), weights=names)
    return model, {
        "answerable": int(labels.sum()),
        "unanswerable": int((1 - labels).sum()),
        "auroc": auroc(across, labels),
        "refused_at_95_kept": refused_at_kept(across, labels),
        "calibration_error": calibration_error(across, labels),
        "risk_coverage": [(count / len(risks), float(risks[count - 1])) for count in counts],
        "threshold": threshold,
        "answerable_kept": float((right >= threshold).mean()),
        "unanswerable_answered_at_most": risk or upper_bound(int((wrong >= threshold).sum()), len(wrong)),
        "confidence": CONFIDENCE,
        "n": len(wrong),
    }


def fit(found: Floats, answerable: NDArray[np.bool_]) -> Floats:
    """Return bias and weights (1 + features) of the logistic regression, by Newton's method; L2 on unit variances."""
    mean, deviation = found.mean(axis=0), found.std(axis=0) + 1e-9
    rows = np.column_stack([np.ones(len(found)), (found - mean) / deviation])
    penalty = _L2 * np.eye(rows.shape[1])
    penalty[0, 0] = 0
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        odds = _sigmoid(rows @ weights)
        gradient = rows.T @ (odds - answerable) + penalty @ weights
        step = np.linalg.solve((rows * (odds * (1 - odds))[:, None]).T @ rows + penalty, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:  # noqa: PLR2004
            break
    scaled = weights[1:] / deviation
    return np.concatenate([[weights[0] - scaled @ mean], scaled])


def probabilities(weights: Floats, found: Floats) -> Floats:
    return _sigmoid(weights[0] + found @ weights[1:])


def cross_validated(samples: Samples) -> Floats:
    """Return the probability of each sample from a model that saw none of its case."""
    cases = _shuffled(samples.case)
    scores = np.zeros(len(samples.case))
    for fold in range(_FOLDS):
        out = np.isin(samples.case, cases[fold::_FOLDS])
        rest = samples[~out]
        scores[out] = probabilities(fit(rest.found, rest.answerable), samples.found[out])
    return scores


def threshold_of(wrong: Floats, risk: float) -> float | None:
    """Return the least threshold that at most `risk` of all unanswerable questions reach, with CONFIDENCE.

    `wrong` (n,) are the probabilities of n unanswerable questions that the model was not fitted on; None: n is too
    small. The bound is exact, for any distribution: a threshold right above the (k + 1)-th of them lets more through
    with the probability that of n draws at most k are among the share `risk` (Vovk, "Conditional validity of inductive
    conformal predictors", ACML 2012).
    """
    allowed = -1
    while _at_most(allowed + 1, len(wrong), risk) <= 1 - CONFIDENCE:
        allowed += 1
    return float(np.nextafter(np.sort(wrong)[::-1][allowed], 2)) if allowed >= 0 else None


def least_n(risk: float) -> int:
    """Return how many unanswerable questions a bound takes, where none of them is answered."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - risk))


def upper_bound(count: int, n: int) -> float:
    """Return the share that `count` of n draws do not exceed, with CONFIDENCE (Clopper and Pearson, 1934)."""
    low, high = count / n, 1.0
    while high - low > 1e-6:  # noqa: PLR2004
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, n, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def as_toml(model: Answerability, said: str) -> str:
    """Write a model as the settings read it, under a comment."""
    lines = [f"# {line}".rstrip() for line in said.splitlines()]
    lines += [f'reranker = "{model.reranker}"', f"threshold = {model.threshold!r}", f"floor = {model.floor!r}"]
    lines += [f"bias = {model.bias!r}", "", "[weights]", *(f"{name} = {w!r}" for name, w in model.weights.items())]
    return "\n".join(lines) + "\n"


def _shuffled(case: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.random.default_rng(_SEED).permutation(np.unique(case))


def _at_most(count: int, n: int, share: float) -> float:
    """Return the probability that of n draws at most `count` are among a share."""
    log = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(min(count, n) + 1)]
    one, other = math.log(share), math.log1p(-share)
    return sum(math.exp(chosen + i * one + (n - i) * other) for i, chosen in enumerate(log)) if count < n else 1.0


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
