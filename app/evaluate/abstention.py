"""Whether the confidence in an answer tells the questions that the documents answer from the others."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from app.evaluate.datasets import Case
from app.evaluate.measures import Floats, Measures, figure, mean_of
from app.evaluate.run import Record

Records = Mapping[str, Record]
"""By the question's id."""

KEPT = 0.95
"""Share of the answerable questions that a threshold keeps."""
_BINS = 10


def abstention(cases: Sequence[Case], asked: Records, hidden: Records) -> Measures:
    """Whether the confidence tells what the documents answer; the hidden are questions that they do not."""
    told = _told(cases, asked, hidden)
    if {answerable for _, answerable in told} != {True, False}:
        return
    keyed = [(f"{record.id} {record.way}", record, answerable) for record, answerable in told]
    refused = {key: float(not answerable) for key, record, answerable in keyed if not record.answered}
    recalled = {key: float(not record.answered) for key, record, answerable in keyed if not answerable}
    columns = _columns(told)
    yield figure("abstention", "AUROC", auroc, *columns)
    yield from mean_of("abstention", "refusal precision", refused)
    yield from mean_of("abstention", "refusal recall", recalled)
    yield figure("abstention", f"refused at {KEPT:.0%} kept", refused_at_kept, *columns)
    yield figure("abstention", "area under risk-coverage", mean_risk, *columns, higher_is_better=False)
    yield figure("abstention", "calibration error (ECE)", calibration_error, *columns, higher_is_better=False)


def curve(cases: Sequence[Case], asked: Records, hidden: Records) -> list[tuple[float, float]]:
    """(coverage, risk) of the risk-coverage curve, in 20 steps; [] where the documents answer every question."""
    told = _told(cases, asked, hidden)
    if all(answerable for _, answerable in told):
        return []
    risks = risk_coverage(*_columns(told))
    kept = [max(1, round(len(risks) * step / 20)) for step in range(1, 21)]
    return [(count / len(risks), float(risks[count - 1])) for count in kept]


def _told(cases: Sequence[Case], asked: Records, hidden: Records) -> list[tuple[Record, bool]]:
    """The records of questions of which it is known whether the documents answer them, and whether they do."""
    known = [(asked[case.id], case.answerable) for case in cases if case.answerable is not None]
    return known + [(record, False) for record in hidden.values()]


def _columns(told: Sequence[tuple[Record, bool]]) -> tuple[Floats, Floats]:
    """The confidence (n,), and 1 for each that is answerable (n,)."""
    return np.array([record.confidence for record, _ in told]), np.array([float(answerable) for _, answerable in told])


def auroc(confidence: Floats, answerable: Floats) -> float:
    """The chance that an answerable question has more confidence than another (Mann-Whitney); ties count half."""
    _, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    yes = answerable.sum()
    no = len(answerable) - yes
    return float((ranks[answerable == 1].sum() - yes * (yes + 1) / 2) / (yes * no)) if yes and no else math.nan


def refused_at_kept(confidence: Floats, answerable: Floats) -> float:
    """The share of the others under the confidence that keeps 95 % of the answerable questions."""
    yes, no = np.sort(confidence[answerable == 1]), confidence[answerable == 0]
    return float((no < yes[int(len(yes) * (1 - KEPT))]).mean()) if len(yes) and len(no) else math.nan


def risk_coverage(confidence: Floats, answerable: Floats) -> Floats:
    """The share of unanswerable questions among the 1, 2, ... n of most confidence."""
    unanswerable = 1 - answerable[np.argsort(-confidence, kind="stable")]
    return np.asarray(np.cumsum(unanswerable) / np.arange(1, len(unanswerable) + 1))


def mean_risk(confidence: Floats, answerable: Floats) -> float:
    """The area under the risk-coverage curve."""
    return float(risk_coverage(confidence, answerable).mean())


def calibration_error(confidence: Floats, answerable: Floats) -> float:
    """The mean gap between confidence and share answerable, in ten equal bins (Guo et al., ICML 2017)."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs((confidence - answerable)[bins == each].sum()) for each in np.unique(bins)]
    return float(sum(gaps) / len(confidence))
