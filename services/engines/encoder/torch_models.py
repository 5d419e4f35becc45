"""Checkpoints to readers: inputs to float32 rows (n, width), on the device.

embedder              hidden states, pooled; and a cross-encoder whose head is apart
cross-encoder         transformers' own head, in float32
decoder with a head   the last token's state through `score`: reward models, rerankers with one label
decoder by token      the last token's logit of "yes" against "no", or of "Yes" alone
layerwise             MiniCPM with a head on each layer: services.engines.encoder.minicpm
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.modeling_outputs import BaseModelOutputWithPooling

from services.engines.encoder.interface import Tokens, pad
from services.engines.encoder.minicpm import open_layerwise
from services.engines.encoder.torch_body import PACKED, Body
from services.engines.torch_attention import VARLEN, has_kernel
from services.errors import BadRequestError
from services.presets import Preset
from services.weights.checkpoint import Checkpoint

Read = Callable[[Sequence[Tokens]], Tensor]


@dataclass(frozen=True, slots=True)
class Reader:
    read: Read
    padding_free: bool


@dataclass(frozen=True, slots=True)
class Placement:
    device: torch.device
    dtype: torch.dtype
    pad_id: int

    def body(self, model: Any, *, packed: bool) -> Body:
        return Body(model, packed=packed, pad_id=self.pad_id)


def open_reader(checkpoint: Checkpoint, placement: Placement) -> Reader:
    """Raises BadRequestError where transformers cannot load the folder, or a preset is needed and missing."""
    packed = checkpoint.config.get("model_type") in PACKED and has_kernel(placement.device, placement.dtype)
    return Reader(_read(checkpoint, placement, packed=packed), packed)


def _read(checkpoint: Checkpoint, placement: Placement, *, packed: bool) -> Read:
    preset = checkpoint.preset
    if checkpoint.is_pooled:
        body = placement.body(_loaded(AutoModel, checkpoint, placement, packed=packed), packed=packed)
        return lambda inputs: body.states(inputs).pooled(checkpoint.pooling)
    if preset is not None and preset.classifier_layer is not None:
        model, head = open_layerwise(checkpoint, preset.classifier_layer, dtype=placement.dtype)
        if packed:
            model.set_attn_implementation(VARLEN)
        return _linear(placement.body(model.to(placement.device), packed=packed), head.to(placement.device))
    if preset is not None and preset.classifier_from_token:
        model = _loaded(AutoModelForCausalLM, checkpoint, placement, packed=packed)
        return _by_token(
            model, placement.body(model.base_model, packed=packed), _token_weights(model, checkpoint, preset)
        )
    if checkpoint.architecture.endswith("ForCausalLM"):
        raise BadRequestError(
            f"{checkpoint.folder} is a decoder without a score head: it needs the template and the tokens that it was "
            "trained with, or its scores are near random. Take a preset that names them (`ragline models list`)."
        )
    model = _loaded(AutoModelForSequenceClassification, checkpoint, placement, packed=packed)
    body = placement.body(model.base_model, packed=packed)
    if isinstance(getattr(model, "score", None), nn.Linear):
        return _linear(body, model.score.weight.float())
    return _on_pooled(model, body) if packed else _whole(model, body, placement.pad_id)


def _loaded(kind: Any, checkpoint: Checkpoint, placement: Placement, *, packed: bool) -> Any:
    if checkpoint.preset is not None and checkpoint.preset.remote_code:
        raise BadRequestError(
            f"{checkpoint.preset.model} needs its repository's own Python, which ragline does not run."
        )
    how = {"attn_implementation": VARLEN} if packed else {}
    try:
        model = kind.from_pretrained(
            checkpoint.folder,
            dtype=placement.dtype,
            local_files_only=True,
            device_map={"": placement.device},  # not by way of the host's memory
            **how,
        )
    except (OSError, ValueError, KeyError) as exc:
        raise BadRequestError(f"transformers cannot load {checkpoint.folder}: {exc}") from exc
    return model.eval()


def _linear(body: Body, head: Tensor) -> Read:
    """head: (labels, width), read on the last token."""
    return lambda inputs: body.states(inputs).pooled("last") @ head.T


def _by_token(model: Any, body: Body, weights: Tensor) -> Read:
    """weights: (tokens, width), the output embeddings that make the score."""
    cap = getattr(model.config, "final_logit_softcapping", None)

    def read(inputs: Sequence[Tokens]) -> Tensor:
        logits = body.states(inputs).pooled("last") @ weights.T
        if cap:
            logits = cap * torch.tanh(logits / cap)
        return logits[:, -1:] - logits[:, :1] if logits.shape[1] > 1 else logits

    return read


def _on_pooled(model: Any, body: Body) -> Read:
    """Runs the model's own head in float32, on the pooled token only."""
    layers = model.base_model
    setattr(model, model.base_model_prefix, _GivenStates(getattr(layers, "pooler", None)))
    layers.pooler = None
    model.float()
    pooling = getattr(model.config, "classifier_pooling", "cls")

    def read(inputs: Sequence[Tokens]) -> Tensor:
        logits: Tensor = model(inputs_embeds=body.states(inputs).pooled(pooling)[:, None]).logits
        return logits

    return read


class _GivenStates(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Replaces the layers under a head: returns the states that it is given as theirs."""

    def __init__(self, pooler: nn.Module | None) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> BaseModelOutputWithPooling:
        pooled = None if self.pooler is None else self.pooler(inputs_embeds)
        return BaseModelOutputWithPooling(last_hidden_state=inputs_embeds, pooler_output=pooled)


def _whole(model: Any, body: Body, pad_id: int) -> Read:
    """Runs transformers' own forward on padded inputs, with the head in float32."""
    for child in model.children():
        if child is not model.base_model:
            child.float().register_forward_pre_hook(_in_float32)

    def read(inputs: Sequence[Tokens]) -> Tensor:
        logits: Tensor = model(**body.padded_inputs(*pad(inputs, pad_id))).logits
        return logits

    return read


def _in_float32(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return tuple(x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)


def _token_weights(model: Any, checkpoint: Checkpoint, preset: Preset) -> Tensor:
    tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_padding()
    ids = []
    for token in preset.classifier_from_token:
        found = tokenizer.encode(token, add_special_tokens=False).ids
        if len(found) != 1:
            raise BadRequestError(
                f"classifier_from_token: {token!r} is {len(found)} tokens of {checkpoint.folder}, not 1."
            )
        ids += found
    weights: Tensor = model.get_output_embeddings().weight.detach()[ids].float()
    return weights
