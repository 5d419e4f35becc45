"""Checkpoints of the shapes of published models with random weights, tokenizers and texts: all made here, no hub."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

SYLLABLES = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("", "n", "r", "s")]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
NAMED = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
VOCABULARY = 8000
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


@dataclass(frozen=True)
class Shape:
    """A published model's; `kind` and `config` are transformers' classes."""

    name: str
    kind: str
    config: str
    sizes: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)

    def configuration(self, *, small: bool) -> Any:
        sizes = {**self.sizes, **TINY, "vocab_size": VOCABULARY} if small else self.sizes
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
        return getattr(transformers, self.config)(**sizes, **self.more, **ids)


LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
EMBEDDER = Shape("bge-large-en-v1.5", "BertModel", "BertConfig", {**LARGE, "vocab_size": 30522})
RERANKER = Shape(
    "bge-reranker-v2-m3",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaConfig",
    {**LARGE, "vocab_size": 250002},
    {"max_position_embeddings": 8194, "type_vocab_size": 1, "num_labels": 1},
)
MINILM = Shape(
    "ms-marco-MiniLM-L-12-v2",
    "BertForSequenceClassification",
    "BertConfig",
    {
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "vocab_size": 30522,
    },
    {"num_labels": 1},
)
GENERATOR = Shape(
    "Qwen2.5-1.5B",
    "Qwen2ForCausalLM",
    "Qwen2Config",
    {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "intermediate_size": 8960,
        "vocab_size": 151936,
    },
    {"num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 4096},
)


def make(shape: Shape, folder: Path, device: str, *, small: bool) -> Path:
    """The checkpoint's folder under `folder`, made unless it is there; weights in 16 bits, as they are published."""
    place = folder / f"{shape.name}{'-small' if small else ''}"
    if (place / "model.safetensors").is_file():
        return place
    torch.manual_seed(0)
    with torch.device(device):
        model = getattr(transformers, shape.kind)(shape.configuration(small=small))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:  # so that states keep their size through the layers, and inputs differ in the end
                weight.normal_(0, weight.shape[-1] ** -0.5)
    model.to(torch.bfloat16 if shape is GENERATOR else torch.float16).save_pretrained(place)
    tokenizer(decoder=shape is GENERATOR).save_pretrained(place)
    return place


def tokenizer(*, decoder: bool) -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE for a decoder, else Unigram, which is XLM-RoBERTa's and the slowest of the usual ones."""
    inner = tokenizers.Tokenizer(models.BPE() if decoder else models.Unigram())
    words = [Texts(seed).words(400) for seed in range(50)]
    if decoder:
        inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=VOCABULARY, special_tokens=SPECIAL, unk_token=SPECIAL[3], show_progress=False
        )
    inner.train_from_iterator(words, trainer)
    if not decoder:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=512, **NAMED)


class Texts:
    """Drawn with a seed: made words of one to four syllables."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def words(self, count: int) -> str:
        lengths = self._random.choices((1, 2, 3, 4), k=count)
        return " ".join("".join(self._random.choices(SYLLABLES, k=length)) for length in lengths)

    def lengths(self, count: int, mean: float, longest: int) -> list[int]:
        """As documents have them: log-normal."""
        drawn = (self._random.lognormvariate(-0.32, 0.8) * mean for _ in range(count))
        return [min(max(int(length), 4), longest) for length in drawn]


def texts(folder: Path, seed: int, lengths: Sequence[int]) -> list[str]:
    """Of so many tokens of the checkpoint each, special ones not counted."""
    inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.no_truncation()
    source = Texts(seed)
    whole = [source.words(length) for length in lengths]  # a word is a token or more
    encoded = inner.encode_batch(whole, add_special_tokens=False)
    return [text[: e.offsets[n - 1][1]] for text, e, n in zip(whole, encoded, lengths, strict=True)]
