"""Whether the confidence in an answer tells the questions that the documents answer from the others."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from app.evaluate.datasets import Case
from app.evaluate.measures import Floats, Measures, figure, mean_of
from app.evaluate.run import Record

KEPT = 0.95
"""Share of the answerable questions that a threshold keeps."""
_BINS = 10


def abstention(cases: Sequence[Case], asked: Mapping[str, Record], hidden: Mapping[str, Record]) -> Measures:
    """Whether the confidence tells what the documents answer; the hidden are questions that they do not."""
    records, labels = _labelled(cases, asked, hidden)
    refused = {f"{record.id} {record.way}": float(not label) for record, label in zip(records, labels, strict=True)
               if not record.answered}  # fmt: skip
    unanswerable = {f"{record.id} {record.way}": float(not record.answered)
                    for record, label in zip(records, labels, strict=True) if not label}  # fmt: skip
    if not unanswerable or all(labels) or not any(labels):
        return
    confidence, answerable = np.array([record.confidence for record in records]), np.array(labels, dtype=np.float64)
    yield figure("abstention", "AUROC", auroc, confidence, answerable)
    yield from mean_of("abstention", "refusal precision", refused)
    yield from mean_of("abstention", "refusal recall", unanswerable)
    yield figure("abstention", f"refused at {KEPT:.0%} kept", refused_at_kept, confidence, answerable)
    risk = lambda *columns: float(risk_coverage(*columns).mean())  # noqa: E731
    yield figure("abstention", "area under risk-coverage", risk, confidence, answerable, higher_is_better=False)
    yield figure(
        "abstention", "calibration error (ECE)", calibration_error, confidence, answerable, higher_is_better=False
    )


def _labelled(
    cases: Sequence[Case], asked: Mapping[str, Record], hidden: Mapping[str, Record]
) -> tuple[list[Record], list[bool]]:
    """The records of the questions of which it is known whether the documents answer them, and whether they do."""
    known = [(asked[case.id], case.answerable) for case in cases if case.answerable is not None and case.id in asked]
    return [record for record, _ in known] + list(hidden.values()), [is_ for _, is_ in known] + [False] * len(hidden)


def curve(
    cases: Sequence[Case], asked: Mapping[str, Record], hidden: Mapping[str, Record]
) -> list[tuple[float, float]]:
    """(coverage, risk) of the risk-coverage curve, in 20 steps."""
    records, labels = _labelled(cases, asked, hidden)
    if not records or all(labels):
        return []
    confidence = np.array([record.confidence for record in records])
    risks = risk_coverage(confidence, np.array(labels, dtype=np.float64))
    kept = [max(1, round(len(risks) * step / 20)) for step in range(1, 21)]
    return [(count / len(risks), float(risks[count - 1])) for count in kept]


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


def calibration_error(confidence: Floats, answerable: Floats) -> float:
    """The mean gap between confidence and share answerable, in ten equal bins (Guo et al., ICML 2017)."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs((confidence - answerable)[bins == each].sum()) for each in np.unique(bins)]
    return float(sum(gaps) / len(confidence))
