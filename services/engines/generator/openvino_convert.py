"""A GGUF file as an OpenVINO folder: converted once, and kept beside the file.

openvino-genai reads GGUF itself, in twice the time, and rounds the offset of each block of Q4_1 weights:
w = scale * (q - round(z)). That changes SmolLM2-135M (KL divergence 0.31 from the file's own weights, another likeliest
token at every third position), so the conversion restores the exact offsets.

    python -m services.engines.generator.openvino_convert FILE.gguf FOLDER
"""

import atexit
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai
from numpy.typing import NDArray
from openvino import opset13 as ops

from services.child_process import python_command, python_environment
from services.engines.generator import gguf

log = logging.getLogger(__name__)

CONVERTING = ".convert-"
ABANDONED_S = 3600.0

Q4_1, Q4_K = 3, 12
"""Kinds of tensor whose blocks have offsets."""
BLOCK = np.dtype([("scale", "<f2"), ("low", "<f2"), ("steps", "u1", 16)])
"""32 weights of Q4_1: w = scale * step + low."""


def convert_gguf(model: Path) -> Path:
    """The folder to load: `model`, or what it was converted to. Raises OSError where there is no room for it."""
    if model.suffix != ".gguf":
        return model
    place = model.with_name(f".{model.stem}.openvino-{genai.get_version()}")
    if place.is_dir():
        return place
    try:
        _sweep(model)
        made = Path(tempfile.mkdtemp(dir=model.parent, prefix=CONVERTING))
    except OSError as exc:
        log.warning("%s cannot be kept in converted form (%s): each start converts it anew", model, exc)
        made = place = Path(tempfile.mkdtemp(prefix="ragline-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    try:
        # in a process of its own, which gives its memory back when it ends
        command = python_command(__name__, str(model), str(made))
        subprocess.run(command, check=True, env=python_environment())  # noqa: S603  our own program
        if place != made:
            made.rename(place)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        if not place.is_dir():  # another process may have converted it meanwhile
            raise
    return place


def _sweep(model: Path) -> None:
    """Removes conversions by other versions, and those that were killed halfway."""
    for old in model.parent.glob(f".{model.stem}.openvino-*"):
        shutil.rmtree(old, ignore_errors=True)
    for left in model.parent.glob(f"{CONVERTING}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def _convert(model: Path, folder: Path) -> None:
    source = folder / "model.gguf"
    source.symlink_to(model.absolute())
    tokenizer = genai.Tokenizer(source, enable_save_ov_model=True)
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = 1
    genai.ContinuousBatchingPipeline(source, tokenizer, scheduler, "CPU", enable_save_ov_model=True)
    source.unlink()
    _restore_offsets(model, folder)
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _restore_offsets(model: Path, folder: Path) -> None:
    """Replaces each zero point of four bits by z = -low / scale, unrounded."""
    listed = gguf.tensors(model)
    if any(tensor.kind == Q4_K for tensor in listed):
        log.warning("%s is Q4_K, which openvino-genai reads with a loss; Q8_0 or Q4_0 is read exactly", model)
    lows = _lows(model, [tensor for tensor in listed if tensor.kind == Q4_1])
    if not lows:
        return
    file = folder / "openvino_model.xml"
    graph = openvino.Core().read_model(file)
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Subtract" and _constant(node).get_output_element_type(0) == openvino.Type.u4:
            _restore(node, lows)
    openvino.save_model(graph, folder / "exact.xml", compress_to_fp16=False)
    del graph  # it reads from the file that is replaced
    (folder / "exact.bin").replace(file.with_suffix(".bin"))
    (folder / "exact.xml").replace(file)


def _lows(model: Path, tensors: list[gguf.Tensor]) -> dict[bytes, NDArray[np.float16]]:
    """Each row's lows by the bytes of the row's scales: openvino-genai reorders rows."""
    data = np.memmap(model, mode="r", dtype=np.uint8)
    found = {}
    for tensor in tensors:
        columns, *more = tensor.shape
        rows, blocks = int(np.prod(more)), columns // 32
        raw = data[tensor.start : tensor.start + rows * blocks * BLOCK.itemsize].view(BLOCK).reshape(rows, blocks)
        for row in raw:
            found[row["scale"].tobytes()] = row["low"].copy()
    return found


def _restore(node: Any, lows: dict[bytes, NDArray[np.float16]]) -> None:
    """`node` takes the zero points from the steps; its only user multiplies by the scales. Both: (rows, blocks, 1)."""
    multiply = next(iter(node.output(0).get_target_inputs())).get_node()
    scales = multiply.input_value(1).get_node().get_data()[:, :, 0]
    rows = [low for row in scales if (low := lows.get(row.tobytes())) is not None]
    if len(rows) < len(scales):
        log.warning("%s is not in the file as it was read; its offsets stay rounded", node.get_friendly_name())
        return
    divisor = np.where(scales == 0, 1, scales).astype(np.float32)
    offsets = -np.stack(rows).astype(np.float32) / divisor
    node.input(1).replace_source_output(ops.constant(offsets[:, :, None].astype(np.float16)).output(0))


def _constant(subtract: Any) -> Any:
    node = subtract.input_value(1).get_node()
    return node.input_value(0).get_node() if node.get_type_name() == "Convert" else node


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]))
