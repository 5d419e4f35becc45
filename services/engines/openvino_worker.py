"""The process that openvino-genai runs in, started by `openvino.py`; speaks JSON lines on standard input and output.

    in    {"add": ID, "prompt": [token ids], "sampling": {...}}     {"cancel": ID}
    out   {"ready": FOLDER, "structure": true} once; {"refused": ID, "message": "..."}; and after each step
          {"pieces": [[ID, [token ids], [logprobs], finish], ...], "kv_cache_usage": 0.1}

A process of its own, because `step()` holds Python's global lock for as long as a prompt is read: in the server's
process everybody's streams, and /health, would stand still meanwhile. Ends with its standard input.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import openvino
import openvino_genai as genai

from services.engines.openvino_convert import converted

FINISH = {genai.GenerationFinishReason.STOP: "stop", genai.GenerationFinishReason.LENGTH: "length"}
BLOCK_TOKENS = 32
"""Tokens of a block of the key-value cache, on CPUs."""
LARGEST_MIN_P = 1 - 1e-6
"""1 is refused; as near to it only the likeliest token is left."""
KV_PRECISION = "f16"
"""In 8 bits, openvino's default, answers depend on what is answered beside them: 3 of 10, of 32 tokens, differed."""


class Worker:
    def __init__(self, options: dict[str, Any], out: TextIO) -> None:
        self._out = out
        self._handles: dict[int, Any] = {}
        self._folder = converted(Path(options["model"]))
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = options["max_batch_tokens"]
        scheduler.max_num_seqs = options["max_sequences"]
        scheduler.num_kv_blocks = options["kv_tokens"] // BLOCK_TOKENS
        properties = {"KV_CACHE_PRECISION": KV_PRECISION, **options["properties"]}
        self._pipeline = genai.ContinuousBatchingPipeline(self._folder, scheduler, options["device"], properties)
        self._warm_up()

    def serve(self, commands: "Commands") -> None:
        has_tokenizer = (self._folder / "openvino_tokenizer.xml").is_file()
        self._say({"ready": str(self._folder), "structure": has_tokenizer})
        for command in commands.until_closed(lambda: bool(self._handles)):
            if command is not None:
                self._obey(command)
            else:
                self._step()

    def _obey(self, command: dict[str, Any]) -> None:
        if "cancel" in command:
            handle = self._handles.pop(command["cancel"], None)
            if handle is not None:
                handle.cancel()
                if not self._handles:
                    self._pipeline.step()  # frees what was cancelled
            return
        name = command["add"]
        try:
            config = _config(command["sampling"])
            self._handles[name] = self._pipeline.add_request(name, _tensor(command["prompt"]), config)
        except Exception as exc:  # noqa: BLE001  the library raises RuntimeError for a wrong grammar as for all else
            self._say({"refused": name, "message": str(exc).strip().splitlines()[-1]})

    def _step(self) -> None:
        self._pipeline.step()
        pieces = []
        for name, handle in list(self._handles.items()):
            piece = _read(handle)
            if piece is None:
                continue
            pieces.append([name, *piece])
            if piece[-1] is not None:
                del self._handles[name]
        usage = self._pipeline.get_metrics().cache_usage / 100
        self._say({"pieces": pieces, "kv_cache_usage": usage})

    def _warm_up(self) -> None:
        """The first forward packs the weights; better before anybody waits for it."""
        handle = self._pipeline.add_request(0, _tensor([0, 1]), _config({"max_tokens": 2, "temperature": 0.0}))
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        del handle

    def _say(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message, separators=(",", ":")) + "\n")
        self._out.flush()


class Commands:
    """Lines of standard input, read without a thread: the global lock would keep it from running."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def until_closed(self, busy: Any) -> Iterator[dict[str, Any] | None]:
        """Each command as it comes; None, while `busy()`, when there is none."""
        while True:
            if self._poll.poll(0 if busy() else None):
                read = os.read(self._descriptor, 1 << 20)
                if not read:
                    return
                *lines, self._rest = (self._rest + read).split(b"\n")
                yield from map(json.loads, lines)
            elif busy():
                yield None


def _config(sampling: dict[str, Any]) -> Any:
    config = genai.GenerationConfig()
    config.max_new_tokens = sampling["max_tokens"]
    config.min_new_tokens = sampling.get("min_tokens", 0)
    config.stop_token_ids = set(sampling.get("stop_token_ids", ()))
    config.ignore_eos = not config.stop_token_ids
    if sampling["temperature"] >= 1e-5:  # noqa: PLR2004  vLLM's bound of greedy
        config.do_sample = True
        config.temperature = sampling["temperature"]
        config.top_p = sampling["top_p"]
        config.min_p = min(sampling["min_p"], LARGEST_MIN_P)
        config.rng_seed = sampling["seed"]
        if sampling["top_k"] > 0:
            config.top_k = sampling["top_k"]
    for name in ("presence_penalty", "frequency_penalty", "repetition_penalty"):
        if name in sampling:
            setattr(config, name, sampling[name])
    config.logprobs = int(sampling.get("logprobs", False))
    if sampling.get("structure"):
        kind, text = sampling["structure"]
        config.structured_output_config = genai.StructuredOutputConfig(**{kind: text})
    config.validate()
    return config


def _tensor(ids: list[int]) -> Any:
    return openvino.Tensor(np.array([ids], dtype=np.int64))


def _read(handle: Any) -> tuple[list[int], list[float], str | None] | None:
    """(token ids, their logprobs, why it ended) since the last time; None where nothing came."""
    ids: list[int] = []
    logprobs: list[float] = []
    finish = None
    while handle.can_read():
        for output in handle.read().values():
            ids += output.generated_ids
            logprobs += output.generated_log_probs
            finish = FINISH.get(output.finish_reason, finish)
    if finish is None and handle.get_status() == genai.GenerationStatus.IGNORED:
        finish = "no room"
    return (ids, logprobs, finish) if ids or finish else None


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints is not for the parent
    Worker(json.loads(sys.argv[1]), out).serve(Commands(0))


if __name__ == "__main__":
    main()
