"""Metrics of generators, under vLLM's names."""

from dataclasses import dataclass

from services.engines.generator.interface import Finish, Generation
from services.http.metrics import SECONDS, TOKENS, Metrics

ITL_SECONDS = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5)


@dataclass(slots=True)
class Progress:
    admitted: float
    first: float = 0.0
    last: float | None = None
    """Times of its first and last piece."""
    tokens: int = 0


class GenerationMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._name = metrics.model_name
        self.kv_cache_usage = metrics.gauge("vllm:kv_cache_usage_perc", "Share of the key-value cache in use.")
        self._ttft = metrics.histogram("vllm:time_to_first_token_seconds", "From arrival to the first token.", SECONDS)
        self._itl = metrics.histogram("vllm:inter_token_latency_seconds", "Between two tokens.", ITL_SECONDS)
        self._e2e = metrics.histogram("vllm:e2e_request_latency_seconds", "From arrival to the last token.", SECONDS)
        self._prompt = metrics.histogram("vllm:request_prompt_tokens", "Tokens of a prompt.", TOKENS)
        self._max_tokens = metrics.histogram("vllm:request_params_max_tokens", "The answer's limit.", TOKENS)
        self._generation = metrics.histogram("vllm:request_generation_tokens", "Tokens of an answer.", TOKENS)
        self._prefill = metrics.histogram("vllm:request_prefill_time_seconds", "To the first token, at work.", SECONDS)
        self._decode = metrics.histogram("vllm:request_decode_time_seconds", "From the first token on.", SECONDS)
        self._tpot = metrics.histogram(
            "vllm:request_time_per_output_token_seconds", "Of an answer's tokens after the first.", ITL_SECONDS
        )
        self._success = metrics.counter("vllm:request_success_by_reason", "Sequences finished.", "finished_reason")

    def queue(self, running: int, waiting: int, waiting_tokens: int) -> None:
        self._metrics.running.set(running)
        self._metrics.waiting.set(waiting)
        self._metrics.queue_tokens.set(waiting_tokens)

    def rejected(self, reason: str) -> None:
        self._metrics.rejections.labels(self._name, reason).inc()

    def piece(self, generation: Generation, tokens: int, last: float | None, now: float) -> None:
        if last is None:
            self._ttft.observe(now - generation.arrived)
            self._prompt.observe(len(generation.prompt))
            self._metrics.prompt_tokens.inc(len(generation.prompt))
        else:
            for _ in range(tokens):
                self._itl.observe((now - last) / tokens)
        self._metrics.generation_tokens.inc(tokens)

    def finished(self, generation: Generation, progress: Progress, now: float, finish: Finish) -> None:
        self._metrics.queue_time.observe(progress.admitted - generation.arrived)
        self._metrics.inference_time.observe(now - progress.admitted)
        self._prefill.observe(progress.first - progress.admitted)
        self._decode.observe(now - progress.first)
        self._tpot.observe((now - progress.first) / max(progress.tokens - 1, 1))
        self._generation.observe(progress.tokens)
        self._max_tokens.observe(generation.sampling.max_tokens)
        self._e2e.observe(now - generation.arrived)
        self._metrics.success.inc()
        self._success.labels(self._name, finish).inc()
