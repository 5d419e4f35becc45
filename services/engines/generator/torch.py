"""transformers' continuous batching: CUDA, and any CPU. A process: `python -m services.engines.generator.torch`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from services.engines.generator import worker
from services.engines.generator.interface import CPU_STEP_TOKENS, GREEDY_BELOW
from services.engines.generator.torch_sampler import Sampler
from services.engines.torch_attention import PAGED, has_kernel
from services.errors import BadRequestError

PAGE_TOKENS = {"cpu": 32, "cuda": 256}
"""Of the key-value cache; prompts that begin alike share whole pages."""
BATCH_TOKENS = {"cpu": CPU_STEP_TOKENS, "cuda": 8192}
"""Prompt tokens of one step at most; the others wait for it, and on a GPU it takes memory from the cache."""
WAIT_S = 0.02
WARM_UP_S = 300.0


@dataclass(slots=True)
class _Sequence:
    stops: frozenset[int]
    sent: int = 0
    """Number of its tokens that were reported."""


class Torch:
    """Greedy and sampled sequences share batches: greedy is top_k 1."""

    def __init__(self, options: dict[str, Any]) -> None:
        device = _device(options["device"])
        if options["threads"] and device.type == "cpu":
            torch.set_num_threads(options["threads"])
        model = _model(options, device)
        self._all: int = model.config.get_text_config().vocab_size
        self._sequences: dict[int, _Sequence] = {}
        self._manager = model.init_continuous_batching(
            generation_config=_sampled(self._all), continuous_batching_config=_batching(options, model)
        )
        self._manager.logit_processor = Sampler()
        self._manager.warmup()  # captures the largest CUDA graph first, so that the others share its memory
        self._manager.start()
        self._warm_up()

    def ready(self) -> Mapping[str, Any]:
        return {"features": [], "capacity": int(self._manager.batch_processor.cache.max_tokens_read)}

    @property
    def busy(self) -> bool:
        return bool(self._sequences)

    @property
    def kv_cache_usage(self) -> float:
        cache = self._manager.batch_processor.cache
        return 1.0 - float(cache.pool.num_free_sectors / cache.num_sectors)

    def add(self, name: int, prompt: list[int], sampling: dict[str, Any]) -> None:
        stops = sampling.get("stop_token_ids", ())
        greedy = sampling["temperature"] < GREEDY_BELOW
        accepted = self._manager.add_request(
            prompt,
            request_id=str(name),
            max_new_tokens=sampling["max_tokens"],
            streaming=True,
            eos_token_id=list(stops) or -1,
            temperature=1.0 if greedy else float(sampling["temperature"]),
            top_k=1 if greedy else sampling["top_k"] or self._all,
            top_p=1.0 if greedy else float(sampling["top_p"]),
        )
        if accepted is None:
            raise worker.EngineDiedError("transformers takes no more") from self._fatal_error
        self._sequences[name] = _Sequence(frozenset(stops))

    def cancel(self, name: int) -> None:
        if self._sequences.pop(name, None) is not None:
            self._manager.cancel_request(str(name))

    def step(self) -> worker.Step:
        """Raises the error that transformers' thread ended with."""
        pieces: list[worker.StepOutput] = []
        output = self._manager.get_result(timeout=WAIT_S)
        while output is not None:
            pieces += self._piece(output)
            router = self._manager.output_router.output_queue
            output = None if router.empty() else self._manager.get_result(timeout=0)
        if self._fatal_error is not None:
            raise self._fatal_error
        return pieces

    @property
    def _fatal_error(self) -> Exception | None:
        error: Exception | None = self._manager.background_thread_status.fatal_error
        return error

    def _piece(self, output: Any) -> list[worker.StepOutput]:
        """Its new tokens; an output holds all tokens of its sequence so far."""
        name = int(output.request_id)
        sequence = self._sequences.get(name)
        if sequence is None:
            return []
        tokens = output.generated_tokens
        new, sequence.sent = tokens[sequence.sent :], len(tokens)
        finish = None
        if output.is_finished():
            del self._sequences[name]
            finish = output.error or ("stop" if tokens and tokens[-1] in sequence.stops else "length")
        return [(name, new, [], finish)] if finish or new else []

    def _warm_up(self) -> None:
        self.add(0, [0], {"max_tokens": 2, "temperature": 0.0})
        until = time.monotonic() + WARM_UP_S
        while self.busy:
            self.step()
            if time.monotonic() > until:
                raise RuntimeError(f"no token within {WARM_UP_S:.0f} s")


def _device(wanted: str) -> torch.device:
    """The device, which becomes the current one: transformers asks that one how much memory is free."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        if device.type == "cuda":
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError) as exc:  # torch without CUDA asserts
        raise BadRequestError(f"device {wanted!r} is not available: {exc}") from exc
    return device


def _model(options: dict[str, Any], device: torch.device) -> Any:
    """Loads onto the device, with attention that needs no mask: so transformers can replay steps as CUDA graphs."""
    name = options["dtype"]
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    dtype = getattr(torch, name)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            options["model"],
            dtype=dtype,
            attn_implementation="sdpa",
            trust_remote_code=False,
            device_map={"": device},  # else 15 GB of a 7B go through the memory of the host
        )
    except (OSError, ValueError, KeyError) as exc:
        raise BadRequestError(f"transformers cannot load {options['model']}: {exc}") from exc
    if has_kernel(device, dtype):
        model.config._attn_implementation = PAGED  # noqa: SLF001  its setter looks for the package flash-attn
    return model


def _sampled(vocabulary: int) -> GenerationConfig:
    """Values that have an effect, so that transformers leaves room for processors; each request sets its own."""
    return GenerationConfig(
        do_sample=True, temperature=0.99, top_k=vocabulary - 1, top_p=0.99, eos_token_id=-1, max_new_tokens=1
    )


def _batching(options: dict[str, Any], model: Any) -> ContinuousBatchingConfig:
    """On a GPU the cache takes four fifths of the memory that is free, unless kv_cache_gb is set."""
    kind, page, blocks = model.device.type, PAGE_TOKENS[model.device.type], None
    if kind == "cpu" or options["kv_cache_gb"] is not None:
        blocks = -(-worker.kv_tokens(options, model.dtype.itemsize) // page)
    return ContinuousBatchingConfig(
        page_size=page,
        num_blocks=blocks,
        max_batch_tokens=min(options["max_batch_tokens"], BATCH_TOKENS[kind]),
        max_requests_per_batch=options["sequences"],
        per_request_processors=True,
    )


if __name__ == "__main__":
    worker.run(Torch)
