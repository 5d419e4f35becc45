"""The engine's side of a process that generates; `process.py` is the service's. They speak JSON lines.

    in    {"add": ID, "prompt": [token ids], "sampling": {...}}     {"cancel": ID}
    out   {"ready": {...}} or {"failed": "..."} once; {"refused": ID, "message": "..."}; and after each step
          {"pieces": [[ID, [token ids], [logprobs], finish], ...], "kv_cache_usage": 0.1}

A process of its own, because openvino-genai's `step()` holds Python's global lock for as long as a prompt is read: in
the server's process everybody's streams, and /health, would stand still meanwhile. It ends with its standard input,
whatever threads of an engine still run.
"""

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from services.errors import RaglineError

KV_CACHE_GB = 0.5
"""Of a CPU, where the settings say nothing."""

StepOutput = tuple[int, Sequence[int], Sequence[float], str | None]
"""One sequence's part of a step: (id, token ids, their logprobs, finish reason or None)."""
Step = Sequence[StepOutput]


class EngineDiedError(Exception):
    """Ends the process."""


class Engine(Protocol):
    def ready(self) -> Mapping[str, Any]:
        """`features`, `capacity` in tokens, and optionally `folder`."""

    @property
    def busy(self) -> bool: ...

    @property
    def kv_cache_usage(self) -> float:
        """0 to 1."""

    def add(self, name: int, prompt: list[int], sampling: dict[str, Any]) -> None:
        """Raises ValueError or RuntimeError with a message for the client."""

    def cancel(self, name: int) -> None: ...

    def step(self) -> Step:
        """Runs one step, or waits for work. Raises where the engine cannot go on."""


def kv_tokens(options: Mapping[str, Any], element_bytes: int) -> int:
    """Tokens of the key-value cache: what kv_cache_gb holds, and no less than the longest sequence."""
    room = (options["kv_cache_gb"] or KV_CACHE_GB) * 2**30
    longest: int = options["longest"]
    return max(int(room / (options["kv_elements"] * element_bytes)), longest)


def run(open_engine: Callable[[dict[str, Any]], Engine]) -> NoReturn:
    """Runs the process; its one argument is the engine's options as JSON."""
    try:
        _serve(open_engine)
    except BaseException:  # noqa: BLE001  an engine's thread would keep the process, and its memory, for ever
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _serve(open_engine: Callable[[dict[str, Any]], Engine]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to answer
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to stdout

    def say(message: Mapping[str, Any]) -> None:
        out.write(json.dumps(message, separators=(",", ":")) + "\n")
        out.flush()

    try:
        engine = open_engine(json.loads(sys.argv[1]))
    except RaglineError as exc:
        say({"failed": str(exc)})
        raise
    say({"ready": engine.ready()})
    for command in _commands(0, busy=lambda: engine.busy):
        if command is None:
            say({"pieces": engine.step(), "kv_cache_usage": engine.kv_cache_usage})
        elif "cancel" in command:
            engine.cancel(command["cancel"])
        else:
            try:
                engine.add(command["add"], command["prompt"], command["sampling"])
            except (ValueError, RuntimeError) as exc:
                say({"refused": command["add"], "message": str(exc).strip().splitlines()[-1]})


def _commands(descriptor: int, *, busy: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
    """Yields commands, and None while `busy()`. Polls, because a reader thread would wait for Python's lock."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    rest = b""
    while True:
        if poll.poll(0 if busy() else None):
            read = os.read(descriptor, 1 << 20)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            yield from map(json.loads, lines)
        elif busy():
            yield None
