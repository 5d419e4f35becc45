"""torch and transformers, on CUDA or any CPU: embedders, cross-encoders, classifiers and decoder-only rerankers.

The body runs in half precision on CUDA; heads and pooled rows are float32 always. torch is imported when a model is
opened, and nowhere else.
"""

from collections.abc import Sequence

import torch

from services.checkpoint import Checkpoint
from services.engines import Rows, Tokens, pad
from services.engines.torch_models import Reader, open_reader
from services.errors import BadRequestError

CUDA_BATCH_TOKENS = 32768
CPU_BATCH_TOKENS = 1024


class TorchEncoder:
    lanes = 1  # a GPU runs one forward at a time, and torch spreads one over the cores of a CPU

    def __init__(self, checkpoint: Checkpoint, *, device: str, dtype: str, pad_id: int, threads: int) -> None:
        self._device = _device(device)
        self._pad_id = pad_id
        torch.set_num_threads(threads)
        self._read: Reader = open_reader(checkpoint, device=self._device, dtype=_dtype(dtype, self._device, checkpoint))
        self.best_batch_tokens = CUDA_BATCH_TOKENS if self._device.type == "cuda" else CPU_BATCH_TOKENS
        self.width = self._probe()

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        ids, mask, types = (self._moved(torch.from_numpy(array)) for array in pad(inputs, self._pad_id))
        with torch.inference_mode():
            rows = self._read(ids, mask, types)
        output: Rows = rows.float().cpu().numpy()
        return output

    def close(self) -> None:
        del self._read
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _moved(self, array: torch.Tensor) -> torch.Tensor:
        if self._device.type != "cuda":
            return array
        return array.pin_memory().to(self._device, non_blocking=True)

    def _probe(self) -> int:
        two = torch.zeros((1, 2), dtype=torch.int64, device=self._device)
        with torch.inference_mode():
            return int(self._read(two, two + 1, two).shape[1])


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise BadRequestError(f"no device {name!r}; take auto, cpu, cuda or cuda:N.") from exc
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadRequestError(f"device {name!r} is not there: torch {torch.__version__} sees no CUDA device.")
    return device


def _dtype(name: str, device: torch.device, checkpoint: Checkpoint) -> torch.dtype:
    """float32 on a CPU; on CUDA the preset's, else float16 for encoders, whose range it fits, bfloat16 for decoders."""
    if name == "auto" and device.type == "cpu":
        name = "float32"
    if name == "auto" and checkpoint.preset is not None:
        name = checkpoint.preset.dtype
    if name == "auto":
        name = "bfloat16" if checkpoint.is_decoder else "float16"
    dtype: torch.dtype = getattr(torch, name)
    return dtype
