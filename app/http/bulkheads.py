"""Places of their own for questions, searches and uploads, so that a flood of one leaves room for the others.

Questions and searches are admitted by what the machine can finish. Their rate is measured while any runs, so a machine
that answers one at a time is told at first for slower than it is, and the limit grows with the load.
"""

import math
import time

from app.http.uploads import is_upload
from app.settings import ServerSettings
from services.errors import MAX_RETRY_AFTER_S
from services.http.admission import Admission, AdmissionMetrics, Limits

FIRST_LIMIT = 8
"""Requests at once until a rate is known."""
LEAST_LIMIT = 4
MEMORY_S = 60.0
"""Seconds of work after which a measurement weighs 1/e."""


class MeasuredAdmission(Admission):
    """Admits as many requests as are answered within `latency_target_s` at the rate of the last minute."""

    def __init__(self, metrics: AdmissionMetrics, limits: Limits, latency_target_s: float) -> None:
        super().__init__(metrics, limits)
        self._latency_target_s = latency_target_s
        self._answers = 0.0
        self._busy_s = 0.0
        self._measured_at = 0.0
        self._next_room = 0.0

    @property
    def rate(self) -> float | None:
        """Answers a second while at least one request runs; None before the first."""
        return self._answers / self._busy_s if self._answers and self._busy_s else None

    @property
    def limit(self) -> int:
        affordable = FIRST_LIMIT if self.rate is None else max(int(self.rate * self._latency_target_s), LEAST_LIMIT)
        return min(affordable, super().limit)

    def acquire(self) -> None:
        super().acquire()
        if self.in_flight == 1:
            self._measured_at = time.monotonic()

    def release(self) -> None:
        self._measure(answers=0)
        super().release()

    def answered(self) -> None:
        """Count a request that was answered; a refused one says nothing of how long an answer takes."""
        self._measure(answers=1)

    def retry_after_s(self) -> int:
        """Queue the refused: each is told the time at which the rate will have made room for it."""
        now = time.monotonic()
        self._next_room = max(self._next_room, now) + 1 / (self.rate or 1.0)
        self._next_room = min(self._next_room, now + MAX_RETRY_AFTER_S)
        return math.ceil(self._next_room - now)

    def _measure(self, answers: int) -> None:
        now = time.monotonic()
        worked = now - self._measured_at
        self._measured_at = now
        fades = math.exp(-worked / MEMORY_S)
        self._answers = self._answers * fades + answers
        self._busy_s = self._busy_s * fades + worked


class Bulkheads:
    """The limits of each kind of request."""

    def __init__(self, settings: ServerSettings, metrics: AdmissionMetrics) -> None:
        def limits(at_once: str, body: str) -> Limits:
            return Limits(getattr(settings, at_once), getattr(settings, body), f"server.{at_once}", f"server.{body}")

        target_s = settings.latency_target_s
        self.questions = MeasuredAdmission(metrics, limits("max_concurrent", "max_question_bytes"), target_s)
        self.searches = MeasuredAdmission(metrics, limits("max_searches", "max_question_bytes"), target_s)
        self._others = Admission(metrics, limits("max_concurrent", "max_question_bytes"))

    def of(self, method: str, path: str) -> Admission | None:
        """Return the limits of a route; None for uploads, which are streamed to the spool."""
        if is_upload(method, path):
            return None
        if path in ("/ask", "/v1/chat/completions", "/v1/responses"):
            return self.questions
        if path in ("/search", "/verify") or (path.startswith("/v1/vector_stores/") and path.endswith("/search")):
            return self.searches
        return self._others
