"""A generator engine maps prompts to streams of tokens. It knows token ids, never strings.

    openvino   openvino-genai: the CPU's default
    torch      torch and transformers: CUDA, and any CPU

Each runs in a process of its own: `process` starts and watches it, `worker` runs inside it.
"""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from services.errors import RaglineError

Finish = Literal["stop", "length"]
Feature = Literal["logprobs", "structure", "penalties", "min_p", "min_tokens", "seed"]
"""Sampling options that not every engine has."""

GREEDY_BELOW = 1e-5
"""Temperatures below are greedy, as in vLLM."""

CPU_STEP_TOKENS = 512
"""Prompt tokens of one step on a CPU, for which all others wait: 4% slower than 2048, and a fourth of the wait."""

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Structure:
    """What the text must look like: a JSON schema, a regular expression, or a grammar in EBNF."""

    kind: Literal["json_schema", "regex", "grammar"]
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen, and when to stop. temperature 0 is greedy; top_k 0 and min_p 0 are off."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    stop_token_ids: tuple[int, ...] = ()
    """End of sequence among them, unless it is to be ignored."""
    logprobs: bool = False
    structure: Structure | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def penalized(self) -> bool:
        return bool(self.presence_penalty or self.frequency_penalty) or self.repetition_penalty != 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """One step's tokens of one sequence; the last piece has a finish. logprobs: of each token, if requested."""

    token_ids: Sequence[int]
    logprobs: Sequence[float] = ()
    finish: Finish | None = None


@dataclass(slots=True, eq=False)
class Generation:
    """A running sequence; iterate over its pieces. Used on the event loop only."""

    prompt: Sequence[int]
    sampling: Sampling
    id: int = field(default_factory=lambda: next(_ids))
    arrived: float = field(default_factory=time.monotonic)
    ended: bool = False
    _inbox: asyncio.Queue[Piece | RaglineError] = field(default_factory=asyncio.Queue)

    def give(self, piece: Piece) -> None:
        if not self.ended:
            self.ended = piece.finish is not None
            self._inbox.put_nowait(piece)

    def fail(self, error: RaglineError) -> None:
        if not self.ended:
            self.ended = True
            self._inbox.put_nowait(error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        """Raises the RaglineError that the generation failed with."""
        if self.ended and self._inbox.empty():
            raise StopAsyncIteration
        got = await self._inbox.get()
        if isinstance(got, RaglineError):
            raise got
        return got


@dataclass(frozen=True, slots=True)
class Capacity:
    """sequences: decoded at once; tokens: of the key-value cache, prompts and answers together."""

    sequences: int
    tokens: int


class GeneratorListener(Protocol):
    """Called on the event loop."""

    def on_piece(self, generation: Generation, piece: Piece) -> None: ...

    def on_failure(self, generation: Generation, error: RaglineError) -> None: ...

    def on_step(self, gauges: Mapping[str, float]) -> None:
        """`kv_cache_usage`, 0 to 1, after each step."""


class Generator(Protocol):
    """Its methods are called on the event loop and never block."""

    @property
    def capacity(self) -> Capacity: ...

    @property
    def features(self) -> frozenset[Feature]: ...

    @property
    def dead(self) -> str | None:
        """Why the engine is dead; None while it lives or restarts."""

    async def start(self, listener: GeneratorListener) -> None:
        """Loads the model and generates a first token. Raises EngineError."""

    async def refusal(self, structure: Structure) -> str | None:
        """Why the engine cannot enforce the structure, in a sentence; None where it can.

        Raises BadRequestError or OverloadedError where a later try may succeed.
        """

    def add(self, generation: Generation) -> None:
        """Starts a generation; the listener gets its pieces."""

    def cancel(self, generation: Generation) -> None:
        """Stops a generation; the listener gets nothing more of it."""

    async def stop(self) -> None: ...


def sampling_fields(sampling: Sampling) -> dict[str, Any]:
    """The sampling as JSON for the engine's process."""
    fields = {name: getattr(sampling, name) for name in sampling.__slots__}
    if sampling.structure is not None:
        fields["structure"] = [sampling.structure.kind, sampling.structure.text]
    return fields
