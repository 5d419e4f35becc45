"""Records one request: its deadline, the share of each stage in it, their times, and the stages that failed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from indexing.errors import IndexMismatchError
from services.errors import EngineError, NotFoundError, OverloadedError, UnavailableError

_FAILURES = (UnavailableError, OverloadedError, EngineError, NotFoundError, IndexMismatchError)
"""Failures of a service; a service of another model than the index is one, too."""

SHARES = {"embed": 0.1, "rerank": 0.25, "evidence": 0.15, "prompt": 0.1, "verify": 0.1, "first_token": 0.4}
"""The part of a request's time that a stage may take, so that a service that hangs leaves time for the others."""


@dataclass(slots=True)
class Trace:
    seconds: float
    """The time for the whole request."""
    deadline: float
    """On `time.monotonic()`'s clock."""
    started: float = field(default_factory=time.perf_counter)
    timings_ms: dict[str, float] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rankings: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Chunks and their scores after each stage, best first: dense, bm25, fused, reranked."""
    logits: NDArray[np.float32] | None = None
    """(n,): of the candidates that the cross-encoder read; None where it read none."""
    current: str = "search"
    """The stage that began last."""
    outcome: str = "broken off"
    """How the request ended: finish_reason, an error's type, or that its client left."""

    @classmethod
    def starting(cls, seconds: float) -> "Trace":
        return cls(seconds, time.monotonic() + seconds)

    def deadline_of(self, stage: str) -> float:
        """Return when a stage that begins now must be done."""
        return min(self.deadline, time.monotonic() + self.seconds * SHARES[stage])

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        began, self.current = time.perf_counter(), name
        try:
            yield
        finally:
            self.timings_ms[name] = self.timings_ms.get(name, 0.0) + _ms_since(began)

    @contextmanager
    def optional(self, name: str) -> Iterator[None]:
        """Time a stage that may fail: note it in `degraded`, with a warning, and go on."""
        with self.stage(name):
            try:
                yield
            except _FAILURES as exc:
                if name not in self.degraded:
                    self.degraded.append(name)
                    self.warnings.append(f"{name}: {exc}")

    def mark(self, name: str) -> None:
        """Note the time from the request's start to the first call with this name."""
        self.timings_ms.setdefault(name, _ms_since(self.started))

    def finish(self) -> dict[str, float]:
        self.mark("total")
        return {name: round(ms, 2) for name, ms in self.timings_ms.items()}


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
