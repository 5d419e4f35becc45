"""A generator in a process of its own (`worker.py` is its side): openvino's, or transformers'.

When that process dies, its running generations fail and it is started again; new ones wait. After MAX_DEATHS deaths
in a row without a token the engine is dead.
"""

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from services.child_process import python_command, python_environment
from services.engines.generator.interface import (
    Capacity,
    Feature,
    Finish,
    Generation,
    GeneratorListener,
    Piece,
    Structure,
    sampling_fields,
)
from services.engines.generator.openvino_grammar import check_grammar
from services.errors import BadRequestError, EngineError

log = logging.getLogger(__name__)

MAX_DEATHS = 3
KEPT_REFUSALS = 256
LINE_BYTES = 1 << 24
STOP_S = 5.0
LOAD_S = 1800.0
"""A process that has not loaded its model for this long is killed."""
STALL_S = 120.0
"""A process that has work and says nothing for this long is killed."""
FINISHES = ("stop", "length")


@dataclass(slots=True, eq=False)
class GeneratorProcess:
    """`module` is run with `options` as JSON; `options["model"]` are the weights."""

    module: str
    options: Mapping[str, Any]
    capacity: Capacity
    stall_s: float = STALL_S
    load_s: float = LOAD_S
    dead: str | None = None
    features: frozenset[Feature] = frozenset()
    _folder: Path | None = None
    """The folder that openvino loaded."""
    _refusals: dict[Structure, str | None] = field(default_factory=dict)
    _refusing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _running: dict[int, Generation] = field(default_factory=dict)
    _ready: bool = False
    """The process has loaded the model and was sent all running generations."""
    _deaths: int = 0
    _listener: GeneratorListener | None = None
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    async def start(self, listener: GeneratorListener) -> None:
        self._listener = listener
        if (reason := await self._open()) is not None:
            raise EngineError(f"{self.options['model']} could not be loaded: {reason}")
        self._reader = asyncio.create_task(self._supervise(), name="engine")

    async def refusal(self, structure: Structure) -> str | None:
        assert self._folder is not None  # noqa: S101  else `features` is without structure
        async with self._refusing:  # one process at a time
            if structure not in self._refusals:
                if len(self._refusals) >= KEPT_REFUSALS:
                    self._refusals.clear()
                self._refusals[structure] = await check_grammar(self._folder, structure)
            return self._refusals[structure]

    def add(self, generation: Generation) -> None:
        self._running[generation.id] = generation
        if self._ready:
            self._begin(generation)

    def cancel(self, generation: Generation) -> None:
        if self._running.pop(generation.id, None) is not None and self._ready:
            self._tell({"cancel": generation.id})

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        if self._process is not None:
            await _end(self._process)
        self._fail(self._running, EngineError("the service is stopping."))

    async def _open(self) -> str | None:
        """Starts a process and waits for the model to load; why it did not, or None."""
        pipe = asyncio.subprocess.PIPE
        command = python_command(self.module, json.dumps(self.options))
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, limit=LINE_BYTES, env=python_environment()
            )
            assert process.stdout is not None  # noqa: S101  for mypy
            async with asyncio.timeout(self.load_s):
                line = await process.stdout.readline()
        except TimeoutError:
            process.kill()
            await process.wait()
            return f"it was not ready after {self.load_s:.0f} s"
        except OSError as exc:
            return str(exc)
        if not _whole(line):
            return f"{await _ended(process)}; the log says why."
        said = json.loads(line)
        if "failed" in said:
            await process.wait()
            return str(said["failed"])
        self._is_ready(said["ready"])
        return None

    async def _supervise(self) -> None:
        """Serves; an error of our own leaves the engine dead, and nobody waiting for it."""
        try:
            await self._serve()
        except Exception as exc:
            log.exception("the engine is given up")
            self._die(repr(exc))

    def _die(self, reason: str) -> None:
        self.dead, self._ready = reason, False
        self._fail(self._running, EngineError(f"the engine is dead: {reason}"))

    async def _serve(self) -> None:
        """Dispatches the process's messages; restarts it when it dies."""
        while True:
            assert self._process is not None  # noqa: S101  for mypy
            reason: str | None = await self._listen(self._process)
            self._ready = False
            lost, self._running = self._running, {}
            self._fail(lost, EngineError(f"the engine failed while this was generated ({reason}); send it again."))
            while reason is not None:
                self._deaths += 1
                log.error("the engine's process ended: %s", reason)
                if self._deaths == MAX_DEATHS:
                    self._die(f"its process ended {MAX_DEATHS} times in a row: {reason}")
                    return
                reason = await self._open()

    async def _listen(self, process: asyncio.subprocess.Process) -> str:
        """Reads messages until the process ends, and returns how. A malformed message kills it."""
        try:
            while _whole(line := await self._line(process)):
                self._hear(json.loads(line))
        except Exception:
            log.exception("the engine is started anew")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return await _ended(process)

    async def _line(self, process: asyncio.subprocess.Process) -> bytes:
        """The next line, incomplete at the end of the output. Kills a process that stalls for `stall_s`."""
        assert process.stdout is not None  # noqa: S101  for mypy
        while True:
            began_idle = not self._running
            try:
                async with asyncio.timeout(self.stall_s):
                    return await process.stdout.readline()
            except TimeoutError:
                if self._running and not began_idle:
                    log.error("the engine said nothing for %.0f s", self.stall_s)  # noqa: TRY400  the trace says no more
                    process.kill()

    def _hear(self, message: Mapping[str, Any]) -> None:
        assert self._listener is not None  # noqa: S101  for mypy
        for name, ids, logprobs, finish in message.get("pieces", ()):
            self._deaths = 0
            if name in self._running:
                self._take(self._running[name], ids, logprobs, finish)
        if "refused" in message and (generation := self._running.pop(message["refused"], None)):
            self._listener.on_failure(generation, BadRequestError(message["message"]))
        if "kv_cache_usage" in message:
            self._listener.on_step({"kv_cache_usage": message["kv_cache_usage"]})

    def _is_ready(self, said: Mapping[str, Any]) -> None:
        self.features = frozenset(said["features"])
        self._folder = Path(said["folder"]) if "folder" in said else None
        self.capacity = replace(self.capacity, tokens=said["capacity"])
        self._ready = True
        for generation in self._running.values():
            self._begin(generation)

    def _take(self, generation: Generation, ids: list[int], logprobs: list[float], finish: str | None) -> None:
        """finish: None, stop, length, or an error message."""
        assert self._listener is not None  # noqa: S101  for mypy
        if finish is not None:
            del self._running[generation.id]
        if finish not in (None, *FINISHES):
            self._listener.on_failure(generation, EngineError(f"the engine failed on this one: {finish}"))
        elif not all(map(math.isfinite, logprobs)):
            self._listener.on_failure(generation, EngineError("the model gave NaN or infinity."))
        else:
            self._listener.on_piece(generation, Piece(ids, logprobs, cast("Finish | None", finish)))

    def _begin(self, generation: Generation) -> None:
        prompt, sampling = list(generation.prompt), sampling_fields(generation.sampling)
        self._tell({"add": generation.id, "prompt": prompt, "sampling": sampling})

    def _tell(self, command: Mapping[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")

    def _fail(self, generations: dict[int, Generation], error: EngineError) -> None:
        """Fails all of them, and those that the listener adds meanwhile."""
        while generations and self._listener is not None:
            _, generation = generations.popitem()
            self._listener.on_failure(generation, error)


def _whole(line: bytes) -> bool:
    """Whether the line is complete: a killed process may leave half of one."""
    return line.endswith(b"\n")


async def _ended(process: asyncio.subprocess.Process) -> str:
    code = await process.wait()
    return f"signal {-code}" if code < 0 else f"status {code}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closes its input, which ends it after the current step; kills it after STOP_S."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
