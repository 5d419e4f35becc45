"""A generator's own description, from a .gguf file or a folder of OpenVINO or Transformers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers

from services.engines.generator import gguf
from services.errors import BadRequestError
from services.generate.chat_template import ChatTemplate
from services.generate.vocabulary import Vocabulary

DEFAULTED = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""What a model's generation_config.json may set for requests that do not."""


@dataclass(frozen=True, slots=True)
class GeneratorFolder:
    weights: Path
    """The .gguf file, or the folder."""
    vocabulary: Vocabulary
    template: ChatTemplate
    eos_token_ids: tuple[int, ...]
    max_model_len: int
    kv_elements: int
    """Of one token in the key-value cache: layers x 2 x heads x head size."""
    defaults: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_openvino(self) -> bool:
        """Whether openvino-genai reads it."""
        return self.weights.suffix == ".gguf" or (self.weights / "openvino_model.xml").is_file()


def read_folder(path: Path) -> GeneratorFolder:
    """`path` is the file or its folder. Raises BadRequestError that names what is missing."""
    files = sorted(path.glob("*.gguf")) if path.is_dir() else [path]
    try:
        if len(files) == 1 and files[0].suffix == ".gguf":
            return _from_gguf(files[0])
        if not files and (path / "config.json").is_file():
            return _from_folder(path)
    except (KeyError, ValueError) as exc:  # a description without what every generator has, or no JSON
        raise BadRequestError(f"{path} does not describe a generator that is served: {exc}") from exc
    if len(files) > 1:
        raise BadRequestError(f"{path} holds {len(files)} GGUF files; name the one to serve.")
    raise BadRequestError(f"{path} is no generator: it holds neither a .gguf file nor a config.json.")


def _from_gguf(file: Path) -> GeneratorFolder:
    pairs = gguf.metadata(file)
    arch = pairs["general.architecture"]
    vocabulary = Vocabulary(gguf.tokenizer(pairs))
    heads, kv_heads = pairs[f"{arch}.attention.head_count"], pairs.get(f"{arch}.attention.head_count_kv")
    head_size = pairs.get(f"{arch}.attention.key_length") or pairs[f"{arch}.embedding_length"] // heads
    special = {
        name: vocabulary.token(pairs[f"tokenizer.ggml.{name}_token_id"])
        for name in ("bos", "eos")
        if f"tokenizer.ggml.{name}_token_id" in pairs
    }
    return GeneratorFolder(
        weights=file,
        vocabulary=vocabulary,
        template=ChatTemplate(pairs.get("tokenizer.chat_template"), {f"{n}_token": t for n, t in special.items()}),
        eos_token_ids=(pairs["tokenizer.ggml.eos_token_id"],),
        max_model_len=pairs[f"{arch}.context_length"],
        kv_elements=pairs[f"{arch}.block_count"] * 2 * (kv_heads or heads) * head_size,
    )


def _from_folder(folder: Path) -> GeneratorFolder:
    config = _read(folder, "config.json")
    config |= config.get("text_config", {})
    config = {_GPT2.get(name, name): value for name, value in config.items()}
    said, generation = _read(folder, "tokenizer_config.json"), _read(folder, "generation_config.json")
    if not (folder / "tokenizer.json").is_file():
        raise BadRequestError(f"{folder} has no tokenizer.json; a fast tokenizer is needed.")
    vocabulary = Vocabulary(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_size = config.get("head_dim") or config["hidden_size"] // heads
    special = {n: t["content"] if isinstance(t, dict) else t for n in _SPECIAL if (t := said.get(n))}
    return GeneratorFolder(
        weights=folder,
        vocabulary=vocabulary,
        template=ChatTemplate(_template(folder, said), special),
        eos_token_ids=_eos(vocabulary, special.get("eos_token"), generation, config),
        max_model_len=config.get("max_position_embeddings") or config.get("n_positions") or 2048,
        kv_elements=config["num_hidden_layers"] * 2 * kv_heads * head_size,
        defaults={n: generation[n] for n in DEFAULTED if generation.get(n) is not None},
    )


_GPT2 = {"n_head": "num_attention_heads", "n_layer": "num_hidden_layers", "n_embd": "hidden_size"}
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def _template(folder: Path, said: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = said.get("chat_template")
    if isinstance(found, list):  # several, by name
        found = {each["name"]: each["template"] for each in found}.get("default")
    return found


def _eos(
    vocabulary: Vocabulary, token: str | None, generation: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[int, ...]:
    """The tokenizer's own first, then those of generation_config.json, or else of config.json."""
    found = [] if token is None else [vocabulary.id(token)]
    more = generation.get("eos_token_id", config.get("eos_token_id"))
    found += more if isinstance(more, list) else [more]
    return tuple(dict.fromkeys(i for i in found if i is not None))


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
