"""sentence-transformers' modules after the pooling: the Dense of an embedder, the head of a cross-encoder.

They run on pooled rows, in float32, whatever the engine of the layers below.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np

from services.engines.encoder.interface import Encoder, Rows, Tokens
from services.errors import BadRequestError
from services.weights.modules import Module

Layer = Callable[[Rows], Rows]
LAYER_NORM_EPSILON = 1e-5
"""torch's default, which sentence-transformers leaves as it is."""
DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


class HeadedEncoder:
    def __init__(self, encoder: Encoder, modules: Sequence[Module]) -> None:
        self._encoder = encoder
        self._layers = [_layer(module) for module in modules]
        self.lanes, self.padding_free = encoder.lanes, encoder.padding_free
        self.best_batch_tokens = encoder.best_batch_tokens
        try:
            self.width = self._through(np.zeros((1, encoder.width), dtype=np.float32)).shape[1]
        except ValueError as exc:
            raise BadRequestError(
                f"the rows of {encoder.width} floats do not fit {modules[0].folder}: {exc}; take engine = torch."
            ) from exc

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        return self._through(self._encoder.forward(inputs))

    def close(self) -> None:
        self._encoder.close()

    def _through(self, rows: Rows) -> Rows:
        for layer in self._layers:
            rows = layer(rows)
        return rows


def _layer(module: Module) -> Layer:
    weights = _tensors(module.folder)
    if module.kind == "LayerNorm":
        return lambda rows: _normed(rows) * weights["norm.weight"] + weights["norm.bias"]
    name = str(module.config.get("activation_function", "Tanh")).rpartition(".")[2]
    read = module.config.get("module_input_name", "sentence_embedding")
    if name not in ACTIVATIONS or module.config.get("use_residual") or read != "sentence_embedding":
        raise BadRequestError(f"{module.folder} is a Dense that is not served: {json.dumps(module.config)}.")
    activation, bias = ACTIVATIONS[name], weights.get("linear.bias", np.float32(0))
    return lambda rows: activation(rows @ weights["linear.weight"].T + bias)


def _normed(rows: Rows) -> Rows:
    centred = rows - rows.mean(axis=1, keepdims=True)
    normed: Rows = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    return normed


def _gelu(rows: Rows) -> Rows:
    """The exact one, by the complementary error function of Numerical Recipes (6.2.2: relative error under 1.2e-7)."""
    x = np.abs(rows.astype(np.float64)) / math.sqrt(2)
    t = 1 / (1 + x / 2)
    series = np.polynomial.polynomial.polyval(t, ERFC)
    tail = t * np.exp(-x * x + series) / 2
    gelu: Rows = (rows * np.where(rows < 0, tail, 1 - tail)).astype(np.float32)
    return gelu


ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
)  # fmt: skip

ACTIVATIONS: dict[str, Layer] = {
    "Identity": lambda rows: rows,
    "Tanh": np.tanh,
    "ReLU": lambda rows: np.maximum(rows, 0),
    "GELU": _gelu,
}


def _tensors(folder: Path) -> dict[str, Rows]:
    """By name, in float32. Raises BadRequestError where the weights are a pickle, or missing."""
    file = folder / "model.safetensors"
    if not file.is_file():
        raise BadRequestError(f"{folder} has no model.safetensors; convert its weights, since pickles are not read.")
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in about["data_offsets"])
            values = np.frombuffer(data[begin:end], dtype=DTYPES[about["dtype"]])
            tensors[name] = values.astype(np.float32).reshape(about["shape"])
    return tensors
