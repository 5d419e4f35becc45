"""Compares two runs question by question: McNemar's exact test for yes and no, a paired bootstrap for all else.

What is tested together is corrected after Holm, so that a run with many measures raises no alarm by chance alone.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluate.measures import Measure, Values
from app.evaluate.run import SEED
from services.errors import BadRequestError, NotFoundError

ALPHA = 0.05
FORMAT = 1
_RESAMPLES = 10_000
_TESTED = ("retrieval", "answers", "abstention", "citations", "conversation", "robustness")
"""Stages whose drop is a failure; a time is another on another machine."""


@dataclass(frozen=True, slots=True)
class Difference:
    measure: Measure
    before: float
    change: float
    """In the questions of both runs."""
    n: int
    p: float | None
    """Of no difference; None where it was not tested."""
    is_significant: bool = False

    @property
    def is_drop(self) -> bool:
        """Whether it is significantly worse."""
        return self.is_significant and (self.change < 0) == bool(self.measure.higher_is_better)


def read_baseline(file: Path) -> dict[str, Any]:
    """Read what --json wrote. Raises NotFoundError, BadRequestError."""
    if not file.is_file():
        raise NotFoundError(f"no such baseline: {file}; `ragline eval DATASET --json {file}` writes one")
    try:
        run: dict[str, Any] = json.loads(file.read_text())
        if run["format"] != FORMAT:
            raise BadRequestError(
                f"{file} is of format {run['format']}, and this ragline reads {FORMAT}: write it anew"
            )
    except (ValueError, KeyError, TypeError) as exc:
        raise BadRequestError(f"{file} was not written by `ragline eval --json`") from exc
    return run


def compare(measures: Sequence[Measure], baseline: Mapping[str, Any]) -> list[Difference]:
    """Return the differences to a baseline, tested where both have values by question. Raises BadRequestError."""
    before = {(each["stage"], each["name"]): each for each in baseline["measures"]}
    found = []
    for measure in measures:
        if (was := before.get((measure.stage, measure.name))) is not None:
            change, n, p = paired_test(measure.questions, was["questions"])
            is_tested = n > 0 and measure.stage in _TESTED
            change = change if n else measure.value - was["value"]
            found.append(Difference(measure, was["value"], change, n, p if is_tested else None))
    if not any(each.n for each in found):
        raise BadRequestError("no question of this run is in the baseline: compare runs of one dataset and limit")
    in_order = sorted(each.p for each in found if each.p is not None)
    # Holm, "A simple sequentially rejective multiple test procedure", 1979
    passed = (p for i, p in enumerate(in_order) if p > ALPHA / (len(in_order) - i))
    first_passed = next(passed, math.inf)
    return [replace(each, is_significant=each.p is not None and each.p < first_passed) for each in found]


def paired_test(now: Values, before: Values) -> tuple[float, int, float]:
    """Return the mean change, of how many questions that both have, and the two-sided p of no difference."""
    shared = sorted(now.keys() & before.keys())
    gaps = np.array([now[key] - before[key] for key in shared])
    if not gaps.any():
        return 0.0, len(shared), 1.0
    if {*map(now.get, shared), *map(before.get, shared)} <= {0.0, 1.0}:
        better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
        tail = sum(math.comb(better + worse, k) for k in range(min(better, worse) + 1)) / 2 ** (better + worse)
    else:
        dice = np.random.default_rng(SEED)
        means = np.array([gaps[dice.integers(len(gaps), size=len(gaps))].mean() for _ in range(_RESAMPLES)])
        tail = (min((means <= 0).sum(), (means >= 0).sum()) + 1) / (_RESAMPLES + 1)
    return float(gaps.mean()), len(shared), min(1.0, float(2 * tail))
