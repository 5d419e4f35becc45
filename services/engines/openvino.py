"""The openvino engine: openvino-genai's continuous batching and prefix cache, in its own process (`openvino_worker`).

When that process dies, what it was generating fails, and it is started again; after MAX_DEATHS in a row without a token
the engine is dead.
"""

import asyncio
import contextlib
import json
import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from services.engines.generator import (
    Capacity,
    Generation,
    GeneratorListener,
    Piece,
    Structure,
    sampling_fields,
)
from services.engines.openvino_grammar import refusal
from services.errors import BadRequestError, EngineError

log = logging.getLogger(__name__)

MAX_SEQUENCES = 32
MAX_DEATHS = 3
KEPT_REFUSALS = 256
LINE_BYTES = 1 << 24
STOP_S = 5.0
STALL_S = 120.0
"""No step takes that long, not even the one after a start."""


@dataclass(slots=True, eq=False)
class OpenVinoGenerator:
    """`model` is a .gguf file or a folder with openvino_model.xml."""

    model: Path
    kv_tokens: int
    max_batch_tokens: int
    threads: int = 0
    device: str = "CPU"
    dead: str | None = None
    features: frozenset[Literal["logprobs", "structure"]] = frozenset({"logprobs"})
    _folder: Path | None = None
    """What the process loaded, with a tokenizer of openvino's."""
    _refusals: dict[Structure, str | None] = field(default_factory=dict)
    _running: dict[int, Generation] = field(default_factory=dict)
    _deaths: int = 0
    _listener: GeneratorListener | None = None
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    @property
    def capacity(self) -> Capacity:
        return Capacity(MAX_SEQUENCES, self.kv_tokens)

    async def start(self, listener: GeneratorListener) -> None:
        self._listener = listener
        self._process = await self._spawn()
        assert self._process.stdout is not None  # noqa: S101  for mypy
        line = await self._process.stdout.readline()
        if not line:
            raise EngineError(f"{self.model} could not be loaded: {await _ended(self._process)}; the log says why.")
        self._hear(json.loads(line))
        self._reader = asyncio.create_task(self._read(), name="openvino")

    async def refusal(self, structure: Structure) -> str | None:
        assert self._folder is not None  # noqa: S101  else `features` is without structure
        if structure not in self._refusals:
            if len(self._refusals) >= KEPT_REFUSALS:
                self._refusals.clear()
            self._refusals[structure] = await refusal(self._folder, structure)
        return self._refusals[structure]

    def add(self, generation: Generation) -> None:
        self._running[generation.id] = generation
        self._tell(
            {
                "add": generation.id,
                "prompt": list(generation.prompt),
                "sampling": sampling_fields(generation.sampling),
            }
        )

    def cancel(self, generation: Generation) -> None:
        if self._running.pop(generation.id, None) is not None:
            self._tell({"cancel": generation.id})

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        if self._process is not None:
            await _end(self._process)
        self._fail_all(EngineError("the service is stopping."))

    async def _spawn(self) -> asyncio.subprocess.Process:
        options = {
            "model": str(self.model),
            "device": self.device,
            "max_batch_tokens": self.max_batch_tokens,
            "max_sequences": MAX_SEQUENCES,
            "kv_tokens": self.kv_tokens,
            "properties": {"INFERENCE_NUM_THREADS": self.threads} if self.threads else {},
        }
        command = (sys.executable, "-m", "services.engines.openvino_worker", json.dumps(options))
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LINE_BYTES)

    async def _read(self) -> None:
        """Hands out what the process says, and starts it again when it dies."""
        while self.dead is None:
            assert self._process is not None  # noqa: S101  for mypy
            while line := await self._line(self._process):
                self._hear(json.loads(line))
            reason = await _ended(self._process)
            self._deaths += 1
            log.error("the engine's process ended: %s", reason)
            self._fail_all(EngineError(f"the engine failed while this was generated ({reason}); send it again."))
            if self._deaths == MAX_DEATHS:
                self.dead = f"its process ended {MAX_DEATHS} times in a row: {reason}"
                return
            self._process = await self._spawn()

    async def _line(self, process: asyncio.subprocess.Process) -> bytes:
        """The next one; b"" at the end. A process that has work and says nothing for STALL_S is ended."""
        assert process.stdout is not None  # noqa: S101  for mypy
        while True:
            began_idle = not self._running
            try:
                async with asyncio.timeout(STALL_S):
                    return await process.stdout.readline()
            except TimeoutError:
                if self._running and not began_idle:
                    log.error("the engine said nothing for %.0f s", STALL_S)  # noqa: TRY400  the trace says no more
                    process.kill()

    def _hear(self, message: Mapping[str, Any]) -> None:
        assert self._listener is not None  # noqa: S101  for mypy
        if message.get("structure"):
            self._folder = Path(message["ready"])
            self.features |= {"structure"}
        for name, ids, logprobs, finish in message.get("pieces", ()):
            self._deaths = 0
            generation = self._running.get(name)
            if generation is None:
                continue
            if finish is not None:
                del self._running[name]
            if finish == "no room":
                self._listener.on_failure(generation, EngineError("the key-value cache is full; raise kv_cache_gb."))
            elif not all(map(math.isfinite, logprobs)):
                self._listener.on_failure(generation, EngineError("the model gave NaN or infinity."))
            else:
                self._listener.on_piece(generation, Piece(ids, logprobs, finish))
        if "refused" in message and (generation := self._running.pop(message["refused"], None)):
            self._listener.on_failure(generation, BadRequestError(message["message"]))
        if "kv_cache_usage" in message:
            self._listener.on_step({"kv_cache_usage": message["kv_cache_usage"]})

    def _tell(self, command: Mapping[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")

    def _fail_all(self, error: EngineError) -> None:
        running, self._running = self._running, {}
        if self._listener is not None:
            for generation in running.values():
                self._listener.on_failure(generation, error)


async def _ended(process: asyncio.subprocess.Process) -> str:
    code = await process.wait()
    return f"signal {-code}" if code < 0 else f"status {code}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closing its input ends it after the step it is in; waiting longer is of no use to anybody."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
