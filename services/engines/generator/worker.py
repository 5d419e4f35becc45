"""The engine's side of a process that generates; `remote.py` is the service's. They speak JSON lines.

    in    {"add": ID, "prompt": [token ids], "sampling": {...}}     {"cancel": ID}
    out   {"ready": {...}} once; {"refused": ID, "message": "..."}; and after each step
          {"pieces": [[ID, [token ids], [logprobs], finish], ...], "kv_cache_usage": 0.1}

A process of its own, because openvino-genai's `step()` holds Python's global lock for as long as a prompt is read: in
the server's process everybody's streams, and /health, would stand still meanwhile. It ends with its standard input,
whatever threads an engine has left.
"""

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

StepOutput = tuple[int, Sequence[int], Sequence[float], str | None]
"""What a sequence got: (id, token ids, their logprobs, why it ended)."""
Step = Sequence[StepOutput]


class Engine(Protocol):
    def ready(self) -> Mapping[str, Any]:
        """`features`, and what else the service asks for."""

    @property
    def busy(self) -> bool: ...

    @property
    def kv_cache_usage(self) -> float:
        """0 to 1."""

    def add(self, name: int, prompt: list[int], sampling: dict[str, Any]) -> None:
        """Raises ValueError or RuntimeError for what it cannot do; the message says why."""

    def cancel(self, name: int) -> None: ...

    def step(self) -> Step:
        """Does the next piece of work, or waits for it. Raises where the engine cannot go on."""


def run(open_engine: Callable[[dict[str, Any]], Engine]) -> NoReturn:
    """The whole process; its one argument holds the engine's options."""
    try:
        _serve(open_engine)
    except BaseException:  # noqa: BLE001  an engine's thread would keep the process, and its memory, for ever
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _serve(open_engine: Callable[[dict[str, Any]], Engine]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to answer
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not for the service

    def say(message: Mapping[str, Any]) -> None:
        out.write(json.dumps(message, separators=(",", ":")) + "\n")
        out.flush()

    engine = open_engine(json.loads(sys.argv[1]))
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
    """Each command as it comes, None while `busy()` and there is none. Not a thread: the lock would keep it waiting."""
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
