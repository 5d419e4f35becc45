"""A loaded encoder behind its queue: tokenize, forward. The routes do the post-processing."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Request

from services.encoder.batcher import Batcher
from services.encoder.cache import RowCache
from services.encoder.queue import ForwardResult
from services.encoder.tokenizer import Side, Tokenizer, Truncation
from services.engines.encoder.interface import Rows, Tokens
from services.errors import TooLargeError
from services.http.metrics import Metrics
from services.settings import EncoderSettings
from services.weights.checkpoint import Checkpoint

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """rows: (n, width) float32; lengths: tokens of each input."""

    rows: Rows
    lengths: Sequence[int]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


@dataclass(frozen=True, slots=True)
class EncoderModel:
    name: str
    checkpoint: Checkpoint
    tokenizer: Tokenizer
    batcher: Batcher
    metrics: Metrics
    settings: EncoderSettings
    cache: RowCache
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="tokenize"))

    async def read(self, request: Request, slices: Iterator[Sequence[Tokens]]) -> EncodeResult:
        """Tokenizes slice by slice, in turn with other requests, then runs the engine; records both times.

        Raises TooLargeError as soon as there are more tokens than the queue takes.
        """
        began = time.perf_counter()
        inputs: list[Tokens] = []
        tokens = 0
        while (part := await self.off_loop(lambda: next(slices, None))) is not None:
            inputs += part
            tokens += sum(map(len, part))
            self.batcher.check_size(tokens)
        took = time.perf_counter() - began
        self.metrics.tokenize_time.observe(took)
        rows, ran = await self._forward(inputs)
        self.metrics.success.inc()
        request.state.timings.update(tokenization=took, queue=ran.queue_s, inference=ran.inference_s)
        return EncodeResult(rows, [len(tokens) for tokens in inputs])

    async def _forward(self, inputs: Sequence[Tokens]) -> tuple[Rows, ForwardResult]:
        if not self.cache.entries:
            ran = await self.batcher.run(inputs)
            return ran.rows, ran
        found = self.cache.find(inputs)
        ran = await self.batcher.run([inputs[index] for index in found.missing])
        return found.filled(ran.rows), ran

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Runs blocking `work` on the model's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def truncation(self, truncate_prompt_tokens: int | None, side: Side | None) -> Truncation:
        return Truncation(limit=self.tokenizer.limit(truncate_prompt_tokens), side=side)

    def check_inputs(self, texts: Sequence[object], *, param: str) -> None:
        """Raises TooLargeError where there are more inputs, or one has more characters, than the settings allow."""
        if len(texts) > self.settings.max_documents:
            raise TooLargeError(
                f"{len(texts)} inputs are over max_documents = {self.settings.max_documents}; send several requests.",
                param=param,
            )
        for index, text in enumerate(texts):
            if isinstance(text, str) and len(text) > self.settings.max_chars:
                raise TooLargeError(
                    f"input {index} has {len(text)} characters, over max_chars = {self.settings.max_chars}.",
                    param=param,
                )
