"""What the card can do at most, and what a model takes of it."""

import time
from collections.abc import Callable
from typing import Any

import torch


def matrix_rate(device: torch.device, *, small: bool) -> float:
    """FLOP a second of products of random bfloat16 matrices, ten after another; the best of five."""
    size = 256 if small else 8192
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in "ab")
    ten = min(seconds(lambda: [a @ b for _ in range(10)], device) for _ in range(5))
    return 10 * 2 * size**3 / ten


def flops_a_token(config: Any, length: int) -> float:
    """Of the matrix products of an encoder's layers, for inputs of this length."""
    width, inner = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * float(8 * width**2 + 4 * width * inner + 4 * length * width)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    began = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
