"""The next tokens' distribution: temperature, top_k and top_p in one pass over the likeliest tokens.

transformers' own processors sort the whole vocabulary twice a step, for each of the sequences that a CUDA graph is
padded to, and draw among equal maxima where top_k is 1.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList

CANDIDATES = 1024
"""Tokens among which top_k and top_p choose."""


class Sampler(ContinuousBatchingLogitsProcessorList):  # type: ignore[misc]  # transformers is not typed here
    """top_k 1 is the first of the largest logits. top_k of the whole vocabulary with top_p 1 leaves all tokens."""

    def __init__(self) -> None:
        kinds = [TemperatureLogitsWarper(1.0), TopKLogitsWarper(1), TopPLogitsWarper(1.0)]
        super().__init__(LogitsProcessorList(kinds), per_request_processors=True)

    def __call__(self, input_ids: Any, scores: Tensor, logits_processor_args: Tensor) -> Tensor:
        """scores: (n, vocabulary). logits_processor_args: (3, at least n) int32, of which two rows hold float32."""
        del input_ids
        rows, size = scores.shape
        temperature, top_k, top_p = (row[:rows, None] for row in logits_processor_args)
        temperature, top_p = temperature.view(torch.float32), top_p.view(torch.float32)
        logits = scores / temperature
        best, tokens = logits.topk(min(CANDIDATES, size))
        within = torch.arange(best.shape[1], device=scores.device) < top_k
        best = best.masked_fill(~within, -torch.inf)
        total = torch.where(top_k >= size, logits.logsumexp(dim=-1, keepdim=True), best.logsumexp(dim=-1, keepdim=True))
        shares = (best - total).exp()
        kept = within & ((shares.cumsum(dim=-1) - shares < top_p) | (top_p >= 1))
        everything = (top_k >= size) & (top_p >= 1)
        allowed = everything.expand_as(scores).scatter(-1, tokens, kept | everything)
        first = torch.zeros_like(allowed).scatter(-1, logits.argmax(dim=-1, keepdim=True), value=True)
        return logits.masked_fill(~torch.where(top_k == 1, first, allowed), -torch.inf)
