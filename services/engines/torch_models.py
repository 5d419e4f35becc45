"""Checkpoints to readers: (ids, mask, types), each (n, length), to float32 rows (n, width).

embedder              hidden states, pooled
cross-encoder         transformers' own head, in float32
decoder with a head   the last token's state through `score`: reward models, rerankers with one label
decoder by token      the last token's logit of "yes" against "no", or of "Yes" alone
layerwise             MiniCPM with a head on each layer: services.engines.minicpm
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from services.checkpoint import Checkpoint
from services.engines.minicpm import open_layerwise
from services.errors import BadRequestError
from services.presets import Preset
from services.tokenizer import Tokenizer

Reader = Callable[[Tensor, Tensor, Tensor], Tensor]


def open_reader(checkpoint: Checkpoint, *, device: torch.device, dtype: torch.dtype) -> Reader:
    """Raises BadRequestError where transformers cannot load the folder, or it needs more than the preset knows."""
    preset = checkpoint.preset
    if checkpoint.kind == "embed":
        return _embedder(_loaded(AutoModel, checkpoint, dtype).to(device), checkpoint.pooling)
    if preset is not None and preset.classifier_layer is not None:
        return open_layerwise(checkpoint, preset.classifier_layer, dtype=dtype, device=device)
    if preset is not None and preset.classifier_from_token:
        model = _loaded(AutoModelForCausalLM, checkpoint, dtype).to(device)
        return _by_token(model, _token_weights(model, checkpoint, preset))
    if checkpoint.architecture.endswith("ForCausalLM"):
        raise BadRequestError(
            f"{checkpoint.folder} is a decoder without a score head: it needs the template and the tokens that it was "
            "trained with, or its scores are near random. Take a preset that names them (`ragline models list`)."
        )
    model = _loaded(AutoModelForSequenceClassification, checkpoint, dtype).to(device)
    return _decoder_head(model) if isinstance(getattr(model, "score", None), nn.Linear) else _encoder_head(model)


def last_states(hidden: Tensor, mask: Tensor) -> Tensor:
    """(n, length, width), padded on the right, to the last token's (n, width), in float32."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, mask.sum(dim=1) - 1].float()


def _loaded(kind: Any, checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    if checkpoint.preset is not None and checkpoint.preset.remote_code:
        raise BadRequestError(
            f"{checkpoint.preset.model} needs its repository's own Python, which ragline does not run."
        )
    try:
        return kind.from_pretrained(checkpoint.folder, dtype=dtype, local_files_only=True).eval()
    except (OSError, ValueError, KeyError) as exc:
        raise BadRequestError(f"transformers cannot load {checkpoint.folder}: {exc}") from exc


def _inputs(model: Any, ids: Tensor, mask: Tensor, types: Tensor) -> dict[str, Tensor]:
    segments = getattr(model.config, "type_vocab_size", 0) or 0
    return {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": types} if segments > 1 else {})


def _embedder(model: Any, pooling: str) -> Reader:
    def read(ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        hidden = model(**_inputs(model, ids, mask, types)).last_hidden_state
        if pooling == "last":
            return last_states(hidden, mask)
        if pooling == "cls":
            return Tensor(hidden[:, 0].float())
        weights = mask[:, :, None].float()
        return Tensor((hidden.float() * weights).sum(dim=1) / weights.sum(dim=1))

    return read


def _encoder_head(model: Any) -> Reader:
    body = model.base_model
    for child in model.children():
        if child is not body:
            child.float().register_forward_pre_hook(_in_float32)

    def read(ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        logits: Tensor = model(**_inputs(model, ids, mask, types)).logits
        return logits

    return read


def _in_float32(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return tuple(x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)


def _decoder_head(model: Any) -> Reader:
    body, head = model.base_model, model.score.float()

    def read(ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        hidden = body(**_inputs(model, ids, mask, types)).last_hidden_state
        logits: Tensor = head(last_states(hidden, mask))
        return logits

    return read


def _by_token(model: Any, weights: Tensor) -> Reader:
    """weights: (tokens, width), the output embeddings that make the score."""
    body = model.base_model
    cap = getattr(model.config, "final_logit_softcapping", None)

    def read(ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        logits = last_states(body(**_inputs(model, ids, mask, types)).last_hidden_state, mask) @ weights.T
        if cap:
            logits = cap * torch.tanh(logits / cap)
        return logits[:, -1:] - logits[:, :1] if logits.shape[1] > 1 else logits

    return read


def _token_weights(model: Any, checkpoint: Checkpoint, preset: Preset) -> Tensor:
    tokenizer = Tokenizer.load(checkpoint.folder, max_model_len=checkpoint.max_model_len)
    ids = []
    for token in preset.classifier_from_token:
        found = tokenizer.ids(token, special=False)
        if len(found) != 1:
            raise BadRequestError(
                f"classifier_from_token: {token!r} is {len(found)} tokens of {checkpoint.folder}, not 1."
            )
        ids += found
    weights: Tensor = model.get_output_embeddings().weight.detach()[ids].float()
    return weights
