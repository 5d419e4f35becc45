"""An encoder engine maps token sequences to one float32 row each. It knows arrays, never strings.

onnx     onnxruntime, int8 or float32: the CPU's default
torch    torch and transformers: CUDA, and any CPU
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One input, with its special tokens. ids: (length,); types: (length,), segment 0 or 1."""

    ids: Ids
    types: Ids

    def __len__(self) -> int:
        return len(self.ids)


class Encoder(Protocol):
    @property
    def width(self) -> int:
        """Floats of an output row: the embedding's dimension, or the number of logits."""

    @property
    def lanes(self) -> int:
        """How many threads may call `forward` at once."""

    @property
    def best_batch_tokens(self) -> int:
        """Padded tokens of the batch with the highest throughput; larger ones only cost memory."""

    @property
    def padding_free(self) -> bool:
        """Whether a batch costs the sum of its inputs' tokens, whatever their lengths."""

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        """(n, width) for n inputs: pooled hidden states, not normalized, or logits. Blocking.

        Raises MemoryError where there is no memory for so many.
        """

    def close(self) -> None: ...


def pad(inputs: Sequence[Tokens], pad_id: int) -> tuple[Ids, Ids, Ids]:
    """ids, mask and types, each (n, longest), padded on the right."""
    longest = max(map(len, inputs))
    ids = np.full((len(inputs), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, tokens in enumerate(inputs):
        length = len(tokens)
        ids[row, :length] = tokens.ids
        mask[row, :length] = 1
        types[row, :length] = tokens.types
    return ids, mask, types
