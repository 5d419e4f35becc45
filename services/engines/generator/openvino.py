"""openvino-genai: continuous batching, a prefix cache. A process: `python -m services.engines.generator.openvino`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai

from services.engines.generator import worker
from services.engines.generator.interface import CPU_STEP_TOKENS, GREEDY_BELOW
from services.engines.generator.openvino_convert import convert_gguf

BLOCK_TOKENS = 32
"""Tokens of a block of the key-value cache, on CPUs."""
KV_PRECISION, KV_BYTES = "f16", 2
"""In 8 bits, openvino's default, answers depend on what is answered beside them: 3 of 10, of 32 tokens, differed."""
LARGEST_MIN_P = 1 - 1e-6
"""openvino-genai refuses 1; this close to it only the likeliest token is left."""
FEATURES = ("logprobs", "penalties", "min_p", "min_tokens", "seed")
FINISH = {genai.GenerationFinishReason.STOP: "stop", genai.GenerationFinishReason.LENGTH: "length"}


class OpenVino:
    def __init__(self, options: dict[str, Any]) -> None:
        self._handles: dict[int, Any] = {}
        self._folder = convert_gguf(Path(options["model"]))
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = min(options["max_batch_tokens"], CPU_STEP_TOKENS)
        scheduler.max_num_seqs = options["sequences"]
        self._kv_tokens = worker.kv_tokens(options, KV_BYTES)
        scheduler.num_kv_blocks = self._kv_tokens // BLOCK_TOKENS
        properties = {"KV_CACHE_PRECISION": KV_PRECISION}
        if options["threads"]:
            properties["INFERENCE_NUM_THREADS"] = options["threads"]
        self._pipeline = genai.ContinuousBatchingPipeline(self._folder, scheduler, "CPU", properties)
        self._warm_up()

    def ready(self) -> Mapping[str, Any]:
        has_tokenizer = (self._folder / "openvino_tokenizer.xml").is_file()
        features = [*FEATURES, *(["structure"] if has_tokenizer else [])]
        return {"features": features, "capacity": self._kv_tokens, "folder": str(self._folder)}

    @property
    def busy(self) -> bool:
        return bool(self._handles)

    @property
    def kv_cache_usage(self) -> float:
        return float(self._pipeline.get_metrics().cache_usage) / 100

    def add(self, name: int, prompt: list[int], sampling: dict[str, Any]) -> None:
        self._handles[name] = self._pipeline.add_request(name, _tensor(prompt), _config(sampling))

    def cancel(self, name: int) -> None:
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()
            if not self._handles:
                self._pipeline.step()  # frees the cancelled one's cache

    def step(self) -> worker.Step:
        self._pipeline.step()
        pieces = []
        for name, handle in list(self._handles.items()):
            ids, logprobs, finish = _read(handle)
            if ids or finish:
                pieces.append((name, ids, logprobs, finish))
            if finish:
                del self._handles[name]
        return pieces

    def _warm_up(self) -> None:
        """Runs the first forward, which packs the weights."""
        self._pipeline.add_request(0, _tensor([0, 1]), _config({"max_tokens": 2, "temperature": 0.0}))
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()


def _config(sampling: dict[str, Any]) -> Any:
    config = genai.GenerationConfig(apply_chat_template=False)
    config.max_new_tokens = sampling["max_tokens"]
    config.min_new_tokens = sampling.get("min_tokens", 0)
    config.stop_token_ids = set(sampling.get("stop_token_ids", ()))
    config.ignore_eos = not config.stop_token_ids
    if sampling["temperature"] >= GREEDY_BELOW:
        config.do_sample = True
        config.temperature = sampling["temperature"]
        config.top_p = sampling["top_p"]
        config.min_p = min(sampling["min_p"], LARGEST_MIN_P)
        config.rng_seed = sampling["seed"]
        if sampling["top_k"] > 0:
            config.top_k = sampling["top_k"]
    for name in ("presence_penalty", "frequency_penalty", "repetition_penalty"):
        if name in sampling:
            setattr(config, name, sampling[name])
    config.logprobs = int(sampling.get("logprobs", False))
    if sampling.get("structure"):
        kind, text = sampling["structure"]
        config.structured_output_config = genai.StructuredOutputConfig(**{kind: text})
    config.validate()
    return config


def _tensor(ids: list[int]) -> Any:
    return openvino.Tensor(np.array([ids], dtype=np.int64))


def _read(handle: Any) -> tuple[list[int], list[float], str | None]:
    """Token ids and logprobs since the last call, and the finish reason or None."""
    ids: list[int] = []
    logprobs: list[float] = []
    finish = None
    while handle.can_read():
        for output in handle.read().values():
            ids += output.generated_ids
            logprobs += output.generated_log_probs
            finish = FINISH.get(output.finish_reason, finish)
    if finish is None and handle.get_status() == genai.GenerationStatus.IGNORED:
        finish = "no room"
    return ids, logprobs, finish


if __name__ == "__main__":
    worker.run(OpenVino)
