"""The torch engine for generate: a Transformers folder on CUDA, or on any CPU.

One thread owns the model. Sequences take turns, a token each, with a key-value cache of their own; for many streams on
a GPU a vLLM server takes this engine's place.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from services.engines.generator import Capacity, Generation, GeneratorListener, Piece, Sampling, Structure
from services.errors import EngineError

log = logging.getLogger(__name__)

MAX_SEQUENCES = 16


@dataclass(slots=True, eq=False)
class _Sequence:
    """A generation under way; `following` is what the model reads next."""

    generation: Generation
    following: list[int]
    cache: DynamicCache
    noise: torch.Generator
    written: list[int] = field(default_factory=list)


class TorchGenerator:
    """`folder` in Transformers' form; `device` "auto" is CUDA where there is one."""

    features: frozenset[Literal["logprobs", "structure"]] = frozenset({"logprobs"})

    def __init__(
        self, folder: Path, kv_tokens: int, *, device: str = "auto", dtype: str = "auto", threads: int = 0
    ) -> None:
        self.dead: str | None = None
        self._folder = folder
        self._kv_tokens = kv_tokens
        self._device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self._dtype = dtype
        self._threads = threads
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._running: dict[int, _Sequence] = {}
        self._thread = threading.Thread(target=self._work, name="torch-generator", daemon=True)

    @property
    def capacity(self) -> Capacity:
        return Capacity(MAX_SEQUENCES, self._kv_tokens)

    async def start(self, listener: GeneratorListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        await self._loaded

    async def refusal(self, structure: Structure) -> str | None:
        return f"the torch engine cannot hold a text to a {structure.kind}."

    def add(self, generation: Generation) -> None:
        self._inbox.put(lambda: self._begin(generation))

    def cancel(self, generation: Generation) -> None:
        self._inbox.put(lambda: self._drop(generation))

    async def stop(self) -> None:
        self._inbox.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 10.0)

    # On the thread from here on.

    def _work(self) -> None:
        try:
            self._load()
        except Exception as exc:
            log.exception("%s could not be loaded", self._folder)
            error = EngineError(f"{self._folder} could not be loaded: {exc}")
            self._loop.call_soon_threadsafe(self._loaded.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._loaded.set_result, None)
        while self._heard():
            for sequence in list(self._running.values()):
                self._step(sequence)
            used = sum(len(s.generation.prompt) + len(s.written) for s in self._running.values())
            self._tell(self._listener.on_step, {"kv_cache_usage": min(used / self._kv_tokens, 1.0)})

    def _load(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        model = AutoModelForCausalLM.from_pretrained(self._folder, dtype=self._dtype, local_files_only=True)
        self._model: Any = model.to(self._device).eval()
        with torch.inference_mode():
            self._model(torch.zeros((1, 1), dtype=torch.long, device=self._device))

    def _heard(self) -> bool:
        """Does what was asked for; waits where nothing runs. False at the end."""
        while True:
            try:
                command = self._inbox.get(block=not self._running)
            except Empty:
                return True
            if command is None:
                return False
            command()

    def _begin(self, generation: Generation) -> None:
        noise = torch.Generator(device=self._device).manual_seed(generation.sampling.seed)
        cache = DynamicCache(config=self._model.config)
        self._running[generation.id] = _Sequence(generation, list(generation.prompt), cache, noise)

    def _drop(self, generation: Generation) -> None:
        self._running.pop(generation.id, None)

    def _step(self, sequence: _Sequence) -> None:
        """The next token of one sequence; what fails here fails no other."""
        generation = sequence.generation
        try:
            with torch.inference_mode():
                ids = torch.tensor([sequence.following], device=self._device)
                answer = self._model(ids, past_key_values=sequence.cache, use_cache=True, logits_to_keep=1)
                logits = answer.logits[0, -1].float()
                token = int(choose(logits, generation.sampling, generation.prompt, sequence.written, sequence.noise))
                logprob = float(logits.log_softmax(dim=-1)[token])
            if not math.isfinite(logprob):
                raise EngineError("the model gave NaN or infinity.")  # noqa: TRY301 - handled as any other failure
        except Exception as exc:
            log.exception("a generation failed")
            self._drop(generation)
            error = exc if isinstance(exc, EngineError) else EngineError(f"the engine failed: {exc}")
            self._tell(self._listener.on_failure, generation, error)
            return
        sequence.written.append(token)
        sequence.following = [token]
        finish = _finish(sequence)
        if finish is not None:
            self._drop(generation)
        self._tell(self._listener.on_piece, generation, Piece([token], [logprob], finish))

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def _finish(sequence: _Sequence) -> Literal["stop", "length"] | None:
    sampling = sequence.generation.sampling
    if sequence.written[-1] in sampling.stop_token_ids:
        return "stop"
    return "length" if len(sequence.written) >= sampling.max_tokens else None


def choose(logits: Tensor, sampling: Sampling, prompt: Any, written: list[int], noise: torch.Generator) -> Tensor:
    """The next token's id, from (vocabulary,) float32 logits; the order of steps is vLLM's."""
    scores = _penalized(logits.clone(), sampling, prompt, written)
    if len(written) < sampling.min_tokens:
        scores[list(sampling.stop_token_ids)] = -math.inf
    if sampling.greedy:
        return scores.argmax()
    scores /= sampling.temperature
    if sampling.min_p:
        scores[scores < scores.max() + math.log(sampling.min_p)] = -math.inf
    if 0 < sampling.top_k < len(scores):
        scores[scores < scores.topk(sampling.top_k).values[-1]] = -math.inf
    if sampling.top_p < 1:
        best, order = scores.sort(descending=True)
        before = best.softmax(dim=-1).cumsum(dim=-1) - best.softmax(dim=-1)
        scores[order[before >= sampling.top_p]] = -math.inf
    return torch.multinomial(scores.softmax(dim=-1), 1, generator=noise)[0]


def _penalized(scores: Tensor, sampling: Sampling, prompt: Any, written: list[int]) -> Tensor:
    if not sampling.penalized:
        return scores
    seen = torch.tensor(sorted({*prompt, *written}), device=scores.device)
    held = scores[seen]
    penalty = sampling.repetition_penalty
    scores[seen] = torch.where(held > 0, held / penalty, held * penalty)
    counts = torch.bincount(torch.tensor(written, dtype=torch.long), minlength=len(scores)).to(scores.device)
    return scores - sampling.frequency_penalty * counts - sampling.presence_penalty * (counts > 0)
