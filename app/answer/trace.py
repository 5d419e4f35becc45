"""Records one request: its deadline, the time of each stage, and the stages that failed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from indexing.errors import IndexMismatchError
from services.errors import EngineError, NotFoundError, OverloadedError, UnavailableError

_FAILURES = (UnavailableError, OverloadedError, EngineError, NotFoundError, IndexMismatchError)
"""Failures of a service; a service of another model than the index is one, too."""


@dataclass(slots=True)
class Trace:
    deadline: float
    """On `time.monotonic()`'s clock."""
    started: float = field(default_factory=time.perf_counter)
    timings_ms: dict[str, float] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def starting(cls, seconds: float) -> "Trace":
        return cls(deadline=time.monotonic() + seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        began = time.perf_counter()
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
