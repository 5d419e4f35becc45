"""Checks that a grammar compiles, before it reaches the engine.

openvino-genai compiles a grammar in the middle of a step: a bad one ends the pipeline with all that it was generating,
and a large one holds everybody up. So each is first tried on a model without weights (same tokenizer, all logits zero,
one token), in a process that may be killed.

    python -m services.engines.generator.openvino_grammar FOLDER
    in: [kind, text]    out: {"refusal": null or why, "took": s}
"""

import asyncio
import json
import math
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.child_process import python_command, python_environment
from services.engines.generator.interface import Structure
from services.errors import BadRequestError, OverloadedError

COMPILE_S = 1.0
"""A compilation holds up all other requests for as long; a usual grammar takes 10 ms."""
CPU_S = 5.0
"""Processor time after which a grammar is refused for good."""
MEMORY_BYTES = 1 << 30
"""What compiling may take beside the libraries; the engine would take it, too."""
PROCESS_S = 20.0
RETRY_AFTER_S = 10
MAX_CHARS = 100_000
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT)
"""Signals of a compiler whose recursion did not end, or that has no memory left."""

_WHERE = re.compile(r"^.*\.cc:\d+: ")
"""Source file and line, with which xgrammar begins a message."""


async def check_grammar(folder: Path, structure: Structure) -> str | None:
    """Why the engine can never use the grammar, in a sentence; None where it can.

    Raises BadRequestError where compiling took too long, OverloadedError where the check did not complete.
    """
    if len(structure.text) > MAX_CHARS:
        return f"it has {len(structure.text)} characters, over {MAX_CHARS}."
    if any("\ud800" <= character <= "\udfff" for character in structure.text):
        return "it is not valid Unicode: it has a lone surrogate."
    said, code = await _asked(folder, structure)
    if code == -signal.SIGXCPU:
        return f"it takes over {CPU_S:.0f} s of processor time to compile; make it smaller."
    if code in CRASHES:
        return "it cannot be compiled."
    if code or not said:
        raise OverloadedError(
            "the machine is too busy to compile the grammar; try again, or make it smaller.", retry_after=RETRY_AFTER_S
        )
    answer = json.loads(said)
    if answer["refusal"] is None and answer["took"] > COMPILE_S:
        raise BadRequestError(f"it took {answer['took']:.1f} s to compile, over {COMPILE_S:.0f} s; make it smaller.")
    refused: str | None = answer["refusal"]
    return refused


async def _asked(folder: Path, structure: Structure) -> tuple[bytes, int | None]:
    """The process's output and exit code; None for a process that was killed after PROCESS_S."""
    pipe = asyncio.subprocess.PIPE
    command = python_command(__name__, str(folder))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=python_environment()
    )
    try:
        async with asyncio.timeout(PROCESS_S):
            said, _ = await process.communicate(json.dumps([structure.kind, structure.text]).encode())
    except TimeoutError:
        return b"", None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said, process.returncode


def _main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the library prints to stdout
    kind, text = json.load(sys.stdin)
    refused, took = _tried(Path(sys.argv[1]), kind, text)
    print(json.dumps({"refusal": refused, "took": took}), file=out, flush=True)
    os._exit(0)  # freeing a large grammar takes long


def _tried(folder: Path, kind: str, text: str) -> tuple[str | None, float]:
    """Why the grammar does not compile, or None; and the seconds of processor time."""
    import numpy as np  # noqa: PLC0415  the parent has no use for these
    import openvino  # noqa: PLC0415
    import openvino_genai as genai  # noqa: PLC0415

    tokenizer = genai.Tokenizer(folder)
    with TemporaryDirectory() as tiny:
        openvino.save_model(_weightless(len(tokenizer.get_vocab())), Path(tiny) / "openvino_model.xml")
        pipeline = genai.LLMPipeline(tiny, tokenizer, "CPU", ATTENTION_BACKEND="SDPA")
    config = genai.GenerationConfig(max_new_tokens=1, apply_chat_template=False)
    config.structured_output_config = genai.StructuredOutputConfig(**{kind: text})
    _limit(CPU_S)
    began = time.process_time()
    try:
        pipeline.generate(openvino.Tensor(np.zeros((1, 1), dtype=np.int64)), config)
    except RuntimeError as exc:
        lines = str(exc).strip().splitlines()
        return _WHERE.sub("", lines[-1]) if lines else "it cannot be compiled.", 0.0
    return None, time.process_time() - began


def _limit(seconds: float) -> None:
    """Has the kernel send SIGXCPU after so much more processor time, and refuse more memory than MEMORY_BYTES."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    until = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, until + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _weightless(vocabulary: int) -> Any:
    """input_ids (batch, length) -> logits (batch, length, vocabulary), all zero; the other inputs are unused."""
    import numpy as np  # noqa: PLC0415
    import openvino  # noqa: PLC0415
    from openvino import opset13 as ops  # noqa: PLC0415

    shapes = {"input_ids": [-1, -1], "attention_mask": [-1, -1], "position_ids": [-1, -1], "beam_idx": [-1]}
    inputs = [ops.parameter(shape, np.int32 if name == "beam_idx" else np.int64) for name, shape in shapes.items()]
    for each, name in zip(inputs, shapes, strict=True):
        each.output(0).get_tensor().set_names({name})
    column = ops.multiply(ops.convert(ops.unsqueeze(inputs[0], -1), "f32"), ops.constant(np.float32(0)))
    row = ops.constant(np.ones((1, vocabulary), dtype=np.float32))
    result = ops.result(ops.matmul(column, row, transpose_a=False, transpose_b=False))
    result.output(0).get_tensor().set_names({"logits"})
    return openvino.Model([result], inputs, "weightless")


if __name__ == "__main__":
    _main()
