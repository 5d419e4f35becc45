"""A loaded generator behind its queue, with a thread for tokenization and templates."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Request

from services.engines.generator.interface import Generator
from services.generate.folder import GeneratorFolder
from services.generate.queue import GenerationQueue
from services.generate.vocabulary import Vocabulary
from services.http.metrics import Metrics
from services.settings import GeneratorSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GeneratorModel:
    name: str
    folder: GeneratorFolder
    max_model_len: int
    engine: Generator
    queue: GenerationQueue
    settings: GeneratorSettings
    metrics: Metrics
    fingerprint: str
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="text"))

    @property
    def vocabulary(self) -> Vocabulary:
        return self.folder.vocabulary

    async def read(self, request: Request, work: Callable[[], T]) -> T:
        """Runs `work`, which renders or tokenizes, off the event loop, and records its time."""
        began = time.perf_counter()
        done = await self.off_loop(work)
        request.state.timings["tokenization"] = took = time.perf_counter() - began
        self.metrics.tokenize_time.observe(took)
        return done

    async def off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
