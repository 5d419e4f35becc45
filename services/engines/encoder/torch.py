"""torch and transformers, on CUDA or any CPU: embedders, cross-encoders, classifiers and decoder-only rerankers.

The body runs in half precision on CUDA; heads and pooled rows are float32 always. torch is imported when a model is
opened, and nowhere else.
"""

import threading
from collections.abc import Sequence

import numpy as np
import torch

from services.engines.encoder.interface import Rows, Tokens
from services.engines.encoder.torch_models import Placement, open_reader
from services.errors import BadRequestError
from services.weights.checkpoint import Checkpoint

CUDA_BATCH_TOKENS = 32768
CPU_BATCH_TOKENS = 1024
CUDA_LANES = 2
"""One batch is packed and launched while the GPU computes the other."""


class TorchEncoder:
    def __init__(self, checkpoint: Checkpoint, *, device: str, dtype: str, pad_id: int, threads: int) -> None:
        self._device = _device(device)
        self._on_cuda = self._device.type == "cuda"
        torch.set_num_threads(threads)
        if self._on_cuda:
            torch.cuda.set_device(self._device)
        placement = Placement(self._device, _dtype(dtype, self._device, checkpoint), pad_id)
        reader = open_reader(checkpoint, placement)
        self._read, self.padding_free = reader.read, reader.padding_free
        self.lanes = CUDA_LANES if self._on_cuda else 1  # torch spreads one forward over the cores of a CPU
        self.best_batch_tokens = CUDA_BATCH_TOKENS if self._on_cuda else CPU_BATCH_TOKENS
        self._launching = threading.Lock()
        self.width = self._probe()

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        try:
            with self._launching, torch.inference_mode():
                rows = self._read(inputs).to("cpu", non_blocking=True)  # torch copies into pinned memory
                finished = self._record_event()
        except torch.OutOfMemoryError as exc:
            raise MemoryError(str(exc)) from exc
        if finished is not None:
            finished.synchronize()
        output: Rows = rows.numpy()
        return output

    def close(self) -> None:
        del self._read
        if self._on_cuda:
            torch.cuda.empty_cache()

    def _record_event(self) -> torch.cuda.Event | None:
        """An event that occurs when the GPU has finished all work launched so far; None on a CPU."""
        if not self._on_cuda:
            return None
        done = torch.cuda.Event(blocking=True)  # waits without spinning: the tokenizer needs the core
        done.record(torch.cuda.current_stream(self._device))
        return done

    def _probe(self) -> int:
        two = np.arange(2, dtype=np.int64)
        width: int = self.forward([Tokens(two, two * 0)]).shape[1]
        return width


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise BadRequestError(f"no device {name!r}; take auto, cpu, cuda or cuda:N.") from exc
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadRequestError(f"device {name!r} is not available: torch {torch.__version__} sees no CUDA device.")
    return device


def _dtype(name: str, device: torch.device, checkpoint: Checkpoint) -> torch.dtype:
    """float32 on a CPU; on CUDA the preset's, else float16 for encoders and bfloat16, of more range, for decoders."""
    if name == "auto" and device.type == "cpu":
        name = "float32"
    if name == "auto" and checkpoint.preset is not None:
        name = checkpoint.preset.dtype
    if name == "auto":
        name = "bfloat16" if checkpoint.is_decoder else "float16"
    dtype: torch.dtype = getattr(torch, name)
    return dtype
