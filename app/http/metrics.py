"""The orchestrator's Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.answer.trace import Trace
from services.http.metrics import SECONDS


class AppMetrics:
    """A registry of its own, so that several orchestrators run in one process."""

    def __init__(self, model_name: str = "ragline") -> None:
        self.model_name = model_name
        self.registry = registry = CollectorRegistry()
        self.in_flight = Gauge("ragline_requests_running", "Requests being answered.", registry=registry)
        self.rejections = Counter(
            "ragline_rejections", "Requests refused, by limit.", ["model_name", "reason"], registry=registry
        )
        labels = ["model_name", "method", "handler", "status"]
        self.http_requests = Counter("http_requests", "Answers.", labels, registry=registry)
        self.http_time = Histogram(
            "http_request_duration_seconds", "To the whole answer.", ["model_name", "handler"], registry=registry,
            buckets=SECONDS,
        )  # fmt: skip
        self.stage_time = Histogram(
            "ragline_stage_seconds", "Time of a stage of a question.", ["stage"], registry=registry, buckets=SECONDS
        )
        self.cache_queries = Counter(
            "ragline_answer_cache_queries", "Questions that were looked for among the kept answers.", registry=registry
        )
        self.cache_hits = Counter(
            "ragline_answer_cache_hits", "Questions that a kept answer answered.", registry=registry
        )
        self.degraded = Counter("ragline_degraded", "Answers without a stage.", ["stage"], registry=registry)

    def record(self, trace: Trace) -> None:
        """Observe the stages of an answered question or search."""
        for stage, ms in trace.timings_ms.items():
            self.stage_time.labels(stage).observe(ms / 1000)
        for stage in trace.degraded:
            self.degraded.labels(stage).inc()
