"""onnxruntime on the CPU, with int8 or float32 weights.

Each core runs a forward of its own input, rather than all cores one batch: measured on 2 cores with MiniLM-L-12 int8
and 202 tokens, 25 pairs a second instead of 23. Single inputs are never padded and need no mask: the graph that
`onnx_graph` rewrites for them reaches 30. An input that is alone is read by two cores: onnxruntime has a second thread,
which takes a part of an operation where a core is idle (docs/log.md).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from services.engines.encoder.interface import Ids, Rows, Tokens, pad
from services.engines.encoder.onnx_graph import rewrite
from services.errors import BadRequestError

log = logging.getLogger(__name__)

BATCH_TOKENS = 1024
"""Padded tokens of a batch, for a model whose rows do not depend on each other."""
FORWARD_THREADS = 2
"""Of one forward. Two cost nothing where every lane is busy; eight cost 10 % of the CPU there, and half of it alone."""
PROBE_TOKENS = 24
TOLERANCE = 0.02
"""Relative difference below which rows count as equal: int8 scales change with the last bit."""


class OnnxEncoder:
    """pooling: for models whose output is hidden states; None where it is logits."""

    padding_free = False

    def __init__(self, file: Path, *, pooling: str | None, pad_id: int, threads: int) -> None:
        self._pooling = pooling
        self._pad_id = pad_id
        self.lanes = threads
        self._threads = min(threads, FORWARD_THREADS)
        self._use(_session(file, self._threads))
        rewritten = self._try_rewritten(file)
        self.width = self._probe().shape[1]
        # int8 activations are scaled by the batch's largest: a row depends on the others unless it is the only one
        self.best_batch_tokens = 1 if rewritten or self._mixes_rows() else BATCH_TOKENS

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        ids, mask, types = pad(inputs, self._pad_id)
        return self._pooled(self._run(ids, mask, types), mask)

    def close(self) -> None:
        del self._session

    def _use(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._inputs = {node.name for node in session.get_inputs()}
        self._output = session.get_outputs()[0]

    def _try_rewritten(self, file: Path) -> bool:
        """Uses the rewritten graph if there is one and its rows equal the original's; whether it does."""
        rewritten = rewrite(file, first_only=self._pooling == "cls")
        if rewritten is None:
            return False
        original, expected = self._session, self._probe(length=PROBE_TOKENS)
        try:
            self._use(_session(rewritten, self._threads))
            found = self._probe(length=PROBE_TOKENS)
        except RuntimeError as exc:  # onnxruntime's own errors are of that kind
            log.warning("%s is not rewritten: onnxruntime refuses the rewritten graph: %s", file, exc)
        else:
            difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            if difference < TOLERANCE:
                return True
            log.warning("%s is not rewritten: the rewritten graph's rows differ by %.1f %%", file, 100 * difference)
        self._use(original)
        return False

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

    def _probe(self, *ids: int, length: int = 2) -> Rows:
        """Output rows of inputs of `length` consecutive ids, each from one of `ids` on."""
        array = np.array([range(i, i + length) for i in ids or (0,)], dtype=np.int64)
        mask = np.ones_like(array)
        return self._pooled(self._run(array, mask, np.zeros_like(array)), mask)

    def _mixes_rows(self) -> bool:
        """Whether a row's output depends on the other rows of its batch."""
        alone, beside = self._probe(3)[0], self._probe(3, 30, 300)[0]
        return not np.allclose(alone, beside, rtol=1e-4, atol=1e-5)


def pool(hidden: Rows, mask: Ids, pooling: str) -> Rows:
    """(n, length, width) to (n, width) over the tokens that are not padding."""
    if pooling == "cls":
        return np.ascontiguousarray(hidden[:, 0], dtype=np.float32)
    if pooling == "last":
        return np.ascontiguousarray(hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1], dtype=np.float32)
    weights = mask[:, :, None].astype(np.float32)
    if pooling == "max":
        return np.where(weights, hidden, -np.inf).max(axis=1).astype(np.float32)  # type: ignore[no-any-return]
    if pooling == "weightedmean":  # the n-th token counts n times
        weights = weights.cumsum(axis=1) * weights
    lengths = weights.sum(axis=1)
    pooled: Rows = (hidden * weights).sum(axis=1) / (np.sqrt(lengths) if pooling == "mean_sqrt_len" else lengths)
    return pooled


def _session(model: Path | bytes, threads: int) -> ort.InferenceSession:
    """Raises BadRequestError for a file that is no model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread is another lane's core
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # an arena keeps the largest batch ever seen
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as exc:
        if isinstance(model, bytes):
            raise
        raise BadRequestError(f"{model} cannot be loaded: {exc}. Fetch it again with `ragline models pull`.") from exc
