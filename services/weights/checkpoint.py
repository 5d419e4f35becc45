"""A checkpoint's own description: how to pool, what the scores mean, how long inputs may be.

Read from config.json, tokenizer_config.json and the sentence-transformers files where the folder has them; a preset
fills in what the folder leaves open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.errors import BadRequestError
from services.presets import Preset
from services.protocol.scoring import Scale
from services.weights.modules import Module, Modules, Pooling, read_json, read_modules

Kind = Literal["embed", "score", "classify"]
Activation = Literal["identity", "sigmoid", "softmax"]

DEFAULT_LENGTH = 512
DECODERS = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "minicpm", "gpt2"}
)
NO_LENGTH = 10**6
"""transformers writes 1e30 where a tokenizer has no limit."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    folder: Path
    kind: Kind
    architecture: str
    preset: Preset | None
    config: Mapping[str, Any]
    max_model_len: int
    pooling: Pooling
    head: tuple[Module, ...]
    """Dense and LayerNorm after the pooling."""
    normalize: bool
    activation: Activation
    labels: tuple[str, ...]
    """Names of the classes, in the order of the logits; () for an embedder."""
    prefixes: Mapping[str, str]
    """Prompts by name; `query` and `document` among them where the model has them."""
    matryoshka: tuple[int, ...]
    """Dimensions that embeddings may be cut to; () for any other model, (0,) where all are allowed."""

    @property
    def is_pooled(self) -> bool:
        """Whether the model's output is pooled hidden states: an embedder, or a cross-encoder whose head is apart."""
        return self.kind == "embed" or bool(self.head)

    @property
    def is_decoder(self) -> bool:
        return self.architecture.endswith("ForCausalLM") or self.config.get("model_type") in DECODERS

    @property
    def scale(self) -> Scale:
        """What a score is when the request does not say `use_activation`."""
        if self.kind == "embed":
            return "cosine"
        return "logit" if self.activation == "identity" else "probability"


def read_checkpoint(
    folder: Path, *, preset: Preset | None = None, kind: Kind | None = None, max_model_len: int | None = None
) -> Checkpoint:
    """Raises BadRequestError where `kind` is not what the weights are, or max_model_len is beyond them."""
    config = read_json(folder / "config.json")
    modules = read_modules(folder)
    found = _kind(config, preset, modules)
    if kind is not None and found is not None and kind != found and {kind, found} != {"score", "classify"}:
        raise BadRequestError(f"{folder} is a model for --task {found}, not {kind}.")
    kind = found or kind or "embed"
    count = modules.labels
    labels = () if kind == "embed" else tuple(f"LABEL_{i}" for i in range(count)) or _labels(config)
    return Checkpoint(
        folder=folder,
        kind=kind,
        architecture=next(iter(config.get("architectures") or []), "BertModel"),
        preset=preset,
        config=config,
        max_model_len=_length(folder, config, preset, max_model_len),
        pooling=_pooling(modules, config, preset),
        head=modules.head,
        normalize=_normalize(modules, preset),
        activation=_activation(folder, config, preset, len(labels)),
        labels=labels,
        prefixes=_prefixes(folder, preset),
        matryoshka=_matryoshka(config, preset),
    )


def _kind(config: Mapping[str, Any], preset: Preset | None, modules: Modules) -> Kind | None:
    if modules.labels:
        return "score" if modules.labels == 1 else "classify"
    if preset is not None and preset.task != "generate":
        return preset.task
    if not config:
        return None
    if any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or []):
        return "score" if len(_labels(config)) == 1 else "classify"
    if any(name.endswith("ForCausalLM") for name in config.get("architectures") or []):
        return None  # a decoder serves whatever it was trained for; its config does not say
    return "embed"


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    if names:
        return tuple(names[key] for key in sorted(names, key=int))
    return tuple(f"LABEL_{i}" for i in range(config.get("num_labels", 2 if config else 1)))


def _length(folder: Path, config: Mapping[str, Any], preset: Preset | None, wanted: int | None) -> int:
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.get("pad_token_id", 1) + 1  # positions are counted from after the padding's
    tokenizer = read_json(folder / "tokenizer_config.json").get("model_max_length")
    limits = (
        positions,
        tokenizer if tokenizer and tokenizer < NO_LENGTH else None,
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        preset.max_model_len if preset else None,
    )
    limit = min((int(n) for n in limits if n), default=DEFAULT_LENGTH)
    if wanted is not None and wanted > limit:
        raise BadRequestError(f"max_model_len = {wanted} is more than the {limit} tokens that {folder.name} can read.")
    return wanted or limit


def _pooling(modules: Modules, config: Mapping[str, Any], preset: Preset | None) -> Pooling:
    if preset is not None and preset.pooling is not None:
        return preset.pooling
    if modules.pooling is not None:
        return modules.pooling
    causal = any(name.endswith("ForCausalLM") for name in config.get("architectures") or [])
    return "last" if causal else "cls"


def _normalize(modules: Modules, preset: Preset | None) -> bool:
    if preset is not None:
        return preset.normalize
    return modules.normalize is not False


def _activation(folder: Path, config: Mapping[str, Any], preset: Preset | None, labels: int) -> Activation:
    """vLLM's order: problem_type, sentence-transformers' own key, its older key, then sigmoid or softmax."""
    by_count: Activation = "softmax" if labels > 1 else "sigmoid"
    problem = config.get("problem_type")
    if problem:
        named: dict[str, Activation] = {"regression": "identity", "multi_label_classification": "sigmoid"}
        return named.get(problem, by_count)
    declared = (config.get("sentence_transformers") or {}).get("activation_fn")
    declared = declared or config.get("sbert_ce_default_activation_function")
    declared = declared or read_json(folder / "config_sentence_transformers.json").get("activation_fn")
    if declared:
        return "identity" if str(declared).endswith("Identity") else by_count
    return "identity" if preset is not None and preset.score_scale == "logit" else by_count


def _prefixes(folder: Path, preset: Preset | None) -> dict[str, str]:
    prompts: dict[str, str] = dict(read_json(folder / "config_sentence_transformers.json").get("prompts") or {})
    if preset is not None:
        prompts |= {"query": preset.query_prefix, "document": preset.document_prefix}
    return prompts


def _matryoshka(config: Mapping[str, Any], preset: Preset | None) -> tuple[int, ...]:
    if preset is not None and preset.matryoshka_dimensions:
        return preset.matryoshka_dimensions
    listed = config.get("matryoshka_dimensions")
    return tuple(listed) if listed else ((0,) if config.get("is_matryoshka") else ())
