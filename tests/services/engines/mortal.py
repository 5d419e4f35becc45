"""An engine whose prompts say how its process ends: `python -m tests.services.engines.mortal OPTIONS`."""

import os
import time
from collections.abc import Mapping
from threading import Thread
from typing import Any

from services.engines.generator import worker
from services.errors import BadRequestError

DIES, LEAVES_HALF_A_LINE, HANGS, FAILS, DIES_TAKING_IT = 666, 777, 888, 999, 555
ANSWER = 5
TO_THE_SERVICE = os.dup(1)


class Mortal:
    kv_cache_usage = 0.0

    def __init__(self, options: Mapping[str, Any]) -> None:
        if options.get("refuses"):
            raise BadRequestError(options["refuses"])
        time.sleep(options["load_s"])
        Thread(target=time.sleep, args=(3600,)).start()  # as transformers leaves one behind
        self._prompts: dict[int, list[int]] = {}

    def ready(self) -> dict[str, Any]:
        return {"features": [], "capacity": 10_000}

    @property
    def busy(self) -> bool:
        return bool(self._prompts)

    def add(self, name: int, prompt: list[int], sampling: dict[str, Any]) -> None:
        del sampling
        if DIES_TAKING_IT in prompt:
            raise worker.EngineDiedError
        self._prompts[name] = prompt

    def cancel(self, name: int) -> None:
        self._prompts.pop(name, None)

    def step(self) -> list[worker.StepOutput]:
        prompts = [token for prompt in self._prompts.values() for token in prompt]
        if HANGS in prompts:
            time.sleep(3600)
        if FAILS in prompts:
            raise RuntimeError("device lost")
        if LEAVES_HALF_A_LINE in prompts:
            os.write(TO_THE_SERVICE, b'{"pieces": [[')
        if DIES in prompts or LEAVES_HALF_A_LINE in prompts:
            os._exit(3)
        ended, self._prompts = self._prompts, {}
        return [(name, [ANSWER], [], "stop") for name in ended]


if __name__ == "__main__":
    worker.run(Mortal)
