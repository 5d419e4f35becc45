"""Whether a grammar can be compiled, found out before it reaches the engine.

openvino-genai compiles a grammar in the middle of a step: a bad one ends the pipeline with all that it was generating,
and a large one holds everybody up. So each is first tried on a model without weights (same tokenizer, all logits zero,
one token), in a process that may be killed.

    python -m services.engines.openvino_grammar FOLDER    in: [kind, text]    out: {"refusal": null or why}
"""

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.engines.generator import Structure

COMPILE_S = 1.0
"""Longer than this nobody else's tokens shall wait; a usual grammar takes 10 ms."""
PROCESS_S = 20.0
MAX_CHARS = 100_000

_WHERE = re.compile(r"^.*\.cc:\d+: ")
"""Source file and line, with which xgrammar begins a message."""


async def refusal(folder: Path, structure: Structure) -> str | None:
    """Why the engine cannot use it, in a sentence; None where it can."""
    if len(structure.text) > MAX_CHARS:
        return f"it has {len(structure.text)} characters, over {MAX_CHARS}."
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", __name__, str(folder))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(PROCESS_S):
            said, _ = await process.communicate(json.dumps([structure.kind, structure.text]).encode())
        answer: str | None = json.loads(said)["refusal"]
    except TimeoutError:
        return f"it does not compile within {PROCESS_S:.0f} s; make it smaller."
    except ValueError:
        return "it cannot be compiled."
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return answer


def _main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints is not for the parent
    kind, text = json.load(sys.stdin)
    print(json.dumps({"refusal": _tried(Path(sys.argv[1]), kind, text)}), file=out, flush=True)
    os._exit(0)  # what is left of a large grammar takes long to free


def _tried(folder: Path, kind: str, text: str) -> str | None:
    import numpy as np  # noqa: PLC0415  the parent has no use for these
    import openvino  # noqa: PLC0415
    import openvino_genai as genai  # noqa: PLC0415

    tokenizer = genai.Tokenizer(folder)
    with TemporaryDirectory() as tiny:
        openvino.save_model(_weightless(len(tokenizer.get_vocab())), Path(tiny) / "openvino_model.xml")
        pipeline = genai.LLMPipeline(tiny, tokenizer, "CPU", ATTENTION_BACKEND="SDPA")
    config = genai.GenerationConfig(max_new_tokens=1, apply_chat_template=False)
    config.structured_output_config = genai.StructuredOutputConfig(**{kind: text})
    began = time.monotonic()
    try:
        pipeline.generate(openvino.Tensor(np.zeros((1, 1), dtype=np.int64)), config)
    except RuntimeError as exc:
        lines = str(exc).strip().splitlines()
        return _WHERE.sub("", lines[-1]) if lines else "it cannot be compiled."
    took = time.monotonic() - began
    return f"it takes {took:.1f} s to compile, over {COMPILE_S:.0f} s; make it smaller." if took > COMPILE_S else None


def _weightless(vocabulary: int) -> Any:
    """input_ids (batch, length) -> logits (batch, length, vocabulary), all zero; the other inputs lead nowhere."""
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
