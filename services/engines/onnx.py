"""onnxruntime on the CPU. Folders as the hub has them: model.onnx, onnx/model.onnx or onnx/model_quantized.onnx."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from services.engines import Ids, Rows, Tokens, pad
from services.errors import BadRequestError

FILES = ("model.onnx", "onnx/model_quantized.onnx", "onnx/model_int8.onnx", "onnx/model.onnx")


def find_model(folder: Path) -> Path | None:
    """The ONNX file of a folder, the quantized one where there are several."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


class OnnxEncoder:
    """`pooling` is for models that put out hidden states; None for those that put out logits."""

    best_batch_tokens = 2048

    def __init__(self, file: Path, *, pooling: str | None, pad_id: int, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the largest batch ever seen
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as exc:
            raise BadRequestError(
                f"{file} cannot be loaded: {exc}. Fetch it again with `ragline models pull`."
            ) from exc
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._output = self._session.get_outputs()[0]
        self._pooling = pooling
        self._pad_id = pad_id
        self.width = self._probe()

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        ids, mask, types = pad(inputs, self._pad_id)
        return self._pooled(self._run(ids, mask, types), mask)

    def close(self) -> None:
        del self._session

    def _run(self, ids: Ids, mask: Ids, types: Ids) -> Rows:
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        feeds = {name: array for name, array in feeds.items() if name in self._inputs}
        output: Rows = self._session.run([self._output.name], feeds)[0]
        return output

    def _pooled(self, output: Rows, mask: Ids) -> Rows:
        if output.ndim == 1:  # some exports squeeze a single logit
            return output[:, None].astype(np.float32)
        if output.ndim == 2:  # noqa: PLR2004 - (n, width): logits, or pooled inside the graph
            return output.astype(np.float32)
        return pool(output, mask, self._pooling or "cls")

    def _probe(self) -> int:
        one = np.zeros((1, 2), dtype=np.int64)
        return int(self._pooled(self._run(one, one + 1, one), one + 1).shape[1])


def pool(hidden: Rows, mask: Ids, pooling: str) -> Rows:
    """(n, length, width) to (n, width) over the tokens that are not padding."""
    if pooling == "cls":
        return np.ascontiguousarray(hidden[:, 0], dtype=np.float32)
    if pooling == "last":
        return np.ascontiguousarray(hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1], dtype=np.float32)
    weights = mask[:, :, None].astype(np.float32)
    means: Rows = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    return means
