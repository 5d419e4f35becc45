"""Attention over inputs that are concatenated in a single row, so that none is padded.

transformers calls it instead of its own, by the name VARLEN, with what the caller adds: `cu_seq_lens_q`, (n + 1,)
int32, each input's start and the last one's end, and `max_length_q`, the longest input. Its continuous batching adds
the same for the keys, which it keeps in pages, and requires a name with "flash" in it: PAGED.

On CUDA it is torch's own variable-length flash attention (16 bits, Ampere and newer; nothing more to install), on a CPU
one scaled_dot_product_attention after another.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

VARLEN = "varlen"
PAGED = "varlen_flash"
AMPERE = (8, 0)
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class AttentionSpans:
    """A query reads the keys of its own input: `window` to each side, and no later ones if `causal`."""

    starts: Tensor
    key_starts: Tensor
    longest: int
    longest_key: int
    scaling: float | None
    window: int | None
    causal: bool


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    return device.type == "cpu" or (dtype in HALVES and torch.cuda.get_device_capability(device) >= AMPERE)


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    cache: Any = None,
    **packing: Any,
) -> tuple[Tensor, None]:
    """query, key, value: (1, heads, tokens, size), to (1, tokens, heads, size). attention_mask is ignored."""
    del attention_mask
    if cache is not None:
        key, value = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=packing)
    starts, longest = packing["cu_seq_lens_q"], packing["max_length_q"]
    longest_key = packing.get("max_length_k", longest)
    spans = AttentionSpans(
        starts,
        packing.get("cu_seq_lens_k", starts),
        longest,
        longest_key,
        scaling,
        sliding_window if sliding_window and sliding_window < longest_key else None,
        module.is_causal if is_causal is None else is_causal,
    )
    return (_on_cuda if query.is_cuda else _on_cpu)(query, key, value, spans), None


def _on_cuda(query: Tensor, key: Tensor, value: Tensor, spans: AttentionSpans) -> Tensor:
    rows = (states.squeeze(0).transpose(0, 1) for states in (query, key, value))
    before = -1 if spans.window is None else spans.window - 1
    grouped = {"enable_gqa": True} if query.shape[1] != key.shape[1] else {}
    output: Tensor = varlen_attn(
        *rows,
        spans.starts,
        spans.key_starts,
        spans.longest,
        spans.longest_key,
        scale=spans.scaling,
        window_size=(before, 0 if spans.causal else before),
        **grouped,
    )
    return output.unsqueeze(0)


def _on_cpu(query: Tensor, key: Tensor, value: Tensor, spans: AttentionSpans) -> Tensor:
    outputs = []
    pairs = zip(pairwise(spans.starts.tolist()), pairwise(spans.key_starts.tolist()), strict=True)
    for (begin, end), (key_begin, key_end) in pairs:
        queries, keys = end - begin, key_end - key_begin
        masked = spans.window is not None or (spans.causal and queries != keys)
        attended = scaled_dot_product_attention(
            query[:, :, begin:end],
            key[:, :, key_begin:key_end],
            value[:, :, key_begin:key_end],
            attn_mask=_mask(queries, keys, spans) if masked else None,
            is_causal=spans.causal and not masked,
            scale=spans.scaling,
            enable_gqa=True,
        )
        outputs.append(attended)
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _mask(queries: int, keys: int, spans: AttentionSpans) -> Tensor:
    """(queries, keys), True where one reads the other; the queries are the last of the keys."""
    back = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    distance = back if spans.causal else back.abs()
    return (distance >= 0) & (distance < (spans.window or keys))


AttentionInterface.register(VARLEN, attention)
AttentionInterface.register(PAGED, attention)
