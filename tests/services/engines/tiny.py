"""Small models of every family, with random weights, as the folders that transformers writes. Needs torch."""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SENTENCES = [
    "the cat sat on the mat and looked at the dog",
    "what is the capital of France",
    "Paris is the capital and most populous city of France",
    "stock prices fell sharply on Monday morning",
    "yes no Yes No A: B: query document passage",
]
SIZE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
NAMED = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIAL = [*NAMED.values(), "yes", "no", "Yes"]


def tokenizer(folder: Path, *, frame: bool, segments: bool = False) -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE trained on SENTENCES; with `frame` it puts <s> and </s> around, and </s> between."""
    inner = Tokenizer(models.BPE(unk_token=SPECIAL[3]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    inner.decoder = decoders.ByteLevel()
    if frame:
        second = "$B:1 </s>:1" if segments else "$B </s>"
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair=f"<s> $A </s> {second}", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=64, **NAMED)
    fast.save_pretrained(folder)
    return fast


def saved(model: transformers.PreTrainedModel, folder: Path) -> transformers.PreTrainedModel:
    """Weights far enough from zero that heads and layers matter."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.15)
            elif "bias" in name:
                weight.normal_(0, 0.05)
    model.eval().save_pretrained(folder)
    return model


def write_config(folder: Path, name: str, content: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
