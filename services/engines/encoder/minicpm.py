"""bge-reranker-v2-minicpm-layerwise without its repository's code: MiniCPM is Llama with three factors folded in.

MiniCPM multiplies embeddings by scale_emb and each residual branch by scale_depth / sqrt(layers); the layerwise head
reads norm(hidden) / (hidden_size / dim_model_base). The layers above the one that is read are not loaded.
Source of the arithmetic: FlagEmbedding, modeling_minicpm_reranker.py.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

from services.errors import BadRequestError
from services.weights.checkpoint import Checkpoint


def open_layerwise(checkpoint: Checkpoint, layer: int, *, dtype: torch.dtype) -> tuple[LlamaModel, Tensor]:
    """The layers up to `layer`, counted from 1, and its head, (1, width), for the last token's state."""
    config = checkpoint.config
    first, last = config["start_layer"], config["num_hidden_layers"]
    if not first <= layer <= last or not config.get("head_multi", True) or config.get("head_type") != "simple":
        raise BadRequestError(f"{checkpoint.folder} has simple heads on layers {first} to {last}, not on {layer}.")
    state = _state(checkpoint.folder)
    head = state[f"lm_head.{layer - first}.linear_head.weight"].float()
    model = LlamaModel(_llama(config, layer)).to(dtype)
    model.load_state_dict(dict(_folded(state, config, layer)))
    return model.eval(), head / (config["hidden_size"] / config["dim_model_base"])


def _llama(config: Mapping[str, Any], layer: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_hidden_layers=layer,
        num_attention_heads=config["num_attention_heads"],
        num_key_value_heads=config.get("num_key_value_heads", config["num_attention_heads"]),
        hidden_act=config.get("hidden_act", "silu"),
        max_position_embeddings=config.get("max_position_embeddings", 2048),
        rms_norm_eps=config.get("rms_norm_eps", 1e-5),
        rope_parameters={"rope_type": "default", "rope_theta": config.get("rope_theta", 10000.0)},
    )


def _folded(state: Mapping[str, Tensor], config: Mapping[str, Any], layer: int) -> Iterator[tuple[str, Tensor]]:
    branch = config["scale_depth"] / math.sqrt(config["num_hidden_layers"])
    for name, weight in state.items():
        key = name.removeprefix("model.")
        if not name.startswith("model.") or "rotary_emb" in key:
            continue
        if key.startswith("layers.") and int(key.split(".")[1]) >= layer:
            continue
        if key == "embed_tokens.weight":
            weight = weight * config["scale_emb"]  # noqa: PLW2901
        elif key.endswith(("o_proj.weight", "down_proj.weight")):
            weight = weight * branch  # noqa: PLW2901
        yield key, weight


def _state(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    names = (
        sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() else ["model.safetensors"]
    )
    state: dict[str, Tensor] = {}
    for name in names:
        state |= load_file(folder / name)
    return state
