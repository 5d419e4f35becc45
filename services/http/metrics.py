"""A service's metrics, named as dashboards for vLLM (`vllm:`) and TEI (`te_`) expect."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class Metrics:
    """One registry per service, so that several run in one process; every series carries `model_name`."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.registry = CollectorRegistry()
        self.in_flight = self.gauge("http_requests_in_flight", "Requests in flight, as /load tells them.")
        self.running = self.gauge("vllm:num_requests_running", "Requests at the engine.")
        self.waiting = self.gauge("vllm:num_requests_waiting", "Requests with inputs in the queue.")
        self.queue_tokens = self.gauge("te_queue_tokens", "Tokens in the queue.")
        self.batch_tokens = self.histogram("te_batch_next_tokens", "Padded tokens of a forward pass.", TOKENS)
        self.batch_size = self.histogram("te_batch_next_size", "Inputs of a forward pass.", SIZES)
        self.batch_fill = self.histogram("te_batch_fill", "Share of a forward pass that is not padding.", SHARES)
        self.prompt_tokens = self.counter("vllm:prompt_tokens", "Tokens read.")
        self.generation_tokens = self.counter("vllm:generation_tokens", "Tokens written.")
        self.success = self.counter("vllm:request_success", "Requests answered.")
        self.rejections = self.counter("vllm:admission_rejections", "Requests refused.", "reason")
        self.queue_time = self.histogram("vllm:request_queue_time_seconds", "Wait of a request.", SECONDS)
        self.tokenize_time = self.histogram("te_request_tokenize_duration", "Seconds of tokenization.", SECONDS)
        self.inference_time = self.histogram("vllm:request_inference_time_seconds", "Forward passes.", SECONDS)
        self.cache_queries = self.counter("vllm:prefix_cache_queries", "Inputs looked up in the cache.")
        self.cache_hits = self.counter("vllm:prefix_cache_hits", "Inputs answered from the cache.")
        self.http_requests = self.counter("http_requests", "Answers.", "method", "handler", "status")
        self.http_time = self.histogram("http_request_duration_seconds", "To the whole answer.", SECONDS, "handler")

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["model_name"], registry=self.registry).labels(self.model_name)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(name, text, ["model_name", *labels], registry=self.registry)
        return counter if labels else counter.labels(self.model_name)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        histogram = Histogram(name, text, ["model_name", *labels], registry=self.registry, buckets=buckets)
        return histogram if labels else histogram.labels(self.model_name)
