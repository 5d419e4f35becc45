"""A model without its head: inputs to the hidden states of their tokens.

Inputs are concatenated in one row where the model family allows it: nothing is padded, and an input's states do not
depend on the rest of the batch. Families whose attention does not allow it (DeBERTa, Gemma 2) are padded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.engines.encoder.interface import Tokens, pad

ROBERTAS = frozenset({"roberta", "xlm-roberta", "camembert"})
"""Their positions start at pad_token_id + 1."""
PACKED = ROBERTAS | {
    "bert", "distilbert", "electra", "modernbert", "gemma", "llama", "minicpm", "mistral", "phi3", "qwen2", "qwen3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class States:
    """values: (tokens, width) of all inputs; bounds: (n + 1,), each input's start and the last one's end."""

    values: Tensor
    bounds: Tensor

    def pooled(self, pooling: str) -> Tensor:
        """(n, width), in float32."""
        if pooling == "cls":
            return self.values[self.bounds[:-1]].float()
        if pooling == "last":
            return self.values[self.bounds[1:] - 1].float()
        values, lengths = self.values.float(), self.bounds.diff()
        if pooling == "weightedmean":  # the n-th token counts n times
            places = torch.arange(len(values), device=values.device) - self.bounds[:-1].repeat_interleave(lengths) + 1
            shares = places / (lengths * (lengths + 1) / 2).repeat_interleave(lengths)
            return self._reduced(values * shares[:, None], "sum")
        if pooling == "mean_sqrt_len":
            return self._reduced(values, "mean") * lengths.sqrt()[:, None]
        return self._reduced(values, pooling)

    def _reduced(self, values: Tensor, how: str) -> Tensor:
        return torch.segment_reduce(values, how, offsets=self.bounds, axis=0, unsafe=True)


class Body:
    """model: a transformers model without a head, already on its device."""

    def __init__(self, model: Any, *, packed: bool, pad_id: int) -> None:
        config = model.config
        config.use_cache = False
        self.packed = packed
        self._device = model.device
        self._pad_id = pad_id
        self._first = config.pad_token_id + 1 if config.model_type in ROBERTAS else 0
        self._has_segments = (getattr(config, "type_vocab_size", 0) or 0) > 1
        self._model = model

    def states(self, inputs: Sequence[Tokens]) -> States:
        lengths = np.array([len(tokens) for tokens in inputs])
        bounds = np.concatenate([[0], lengths.cumsum()])
        return self._in_one_row(inputs, lengths, bounds) if self.packed else self._padded(inputs, bounds)

    def _in_one_row(self, inputs: Sequence[Tokens], lengths: NDArray[Any], bounds: NDArray[Any]) -> States:
        places = np.arange(bounds[-1]) - bounds[:-1].repeat(lengths) + self._first
        ids, types = (np.concatenate([getattr(each, name) for each in inputs]) for name in ("ids", "types"))
        row, starts = self.to_device(np.stack([ids, types, places])), self.to_device(bounds.astype(np.int32))
        output = self._model(
            input_ids=row[0:1],
            position_ids=row[2:3],
            cu_seq_lens_q=starts,
            max_length_q=int(lengths.max()),
            **({"token_type_ids": row[1:2]} if self._has_segments else {}),
        )
        return States(output.last_hidden_state[0], starts)

    def _padded(self, inputs: Sequence[Tokens], bounds: NDArray[Any]) -> States:
        ids, mask, types = pad(inputs, self._pad_id)
        hidden = self._model(**self.padded_inputs(ids, mask, types)).last_hidden_state
        return States(hidden.flatten(0, 1)[self.to_device(np.flatnonzero(mask))], self.to_device(bounds))

    def padded_inputs(self, ids: NDArray[Any], mask: NDArray[Any], types: NDArray[Any]) -> dict[str, Tensor]:
        arrays = {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": types} if self._has_segments else {})
        return {name: self.to_device(array) for name, array in arrays.items()}

    def to_device(self, array: NDArray[Any]) -> Tensor:
        """The array on the device; the copy to a GPU is asynchronous."""
        tensor = torch.from_numpy(array)
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)
