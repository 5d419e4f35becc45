"""Logits to scores, always in float32: in half precision many sigmoids round to the same 1.0."""

import numpy as np

from services.engines.encoder.interface import Rows
from services.weights.checkpoint import Activation


def apply_activation(logits: Rows, activation: Activation, use_activation: bool | None) -> Rows:
    """(n, labels) probabilities; the logits themselves where the model or the request asks for them."""
    logits = logits.astype(np.float32)
    if use_activation is False or activation == "identity":
        return logits
    return softmax(logits) if activation == "softmax" else sigmoid(logits)


def sigmoid(logits: Rows) -> Rows:
    with np.errstate(over="ignore"):  # exp of a large number is infinity, and 1 / (1 + infinity) is right
        probabilities: Rows = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return probabilities


def softmax(logits: Rows) -> Rows:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Rows = powers / powers.sum(axis=1, keepdims=True)
    return shares
