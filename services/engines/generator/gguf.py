"""Reads a GGUF file's metadata, tokenizer and tensor table (format: ggml-org/ggml, docs/gguf.md)."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from services.errors import BadRequestError

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_CONTROL, _USER_DEFINED = 3, 4
"""Kinds of token in tokenizer.ggml.token_type."""

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where the weights of one tensor are. shape: the innermost dimension first; start: bytes from the file's."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


def metadata(file: Path) -> dict[str, Any]:
    """All key-value pairs. Raises BadRequestError for a file that is not GGUF."""
    with file.open("rb") as stream, _whole(file):
        return _head(stream, file)[0]


def tensors(file: Path) -> list[Tensor]:
    """Raises BadRequestError for a file that is not GGUF."""
    with file.open("rb") as stream, _whole(file):
        pairs, count = _head(stream, file)
        listed = [_tensor(stream) for _ in range(count)]
        unit = pairs.get("general.alignment", 32)
        data = -(-stream.tell() // unit) * unit
    return [replace(tensor, start=data + tensor.start) for tensor in listed]


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """Turns what reading past the end, or nonsense, raises into BadRequestError."""
    try:
        yield
    except (struct.error, KeyError, MemoryError, OverflowError, RecursionError) as exc:
        raise BadRequestError(f"{file} is cut or broken; fetch it again.") from exc


def _head(stream: BinaryIO, file: Path) -> tuple[dict[str, Any], int]:
    """The key-value pairs, and how many tensors are described after them."""
    if stream.read(4) != b"GGUF":
        raise BadRequestError(f"{file} is not a GGUF file.")
    version, count, pairs = struct.unpack("<IQQ", stream.read(20))
    if version < 2:  # noqa: PLR2004  version 1 had 32-bit lengths
        raise BadRequestError(f"{file} is GGUF version {version}; convert it to version 2 or later.")
    return dict(_pair(stream) for _ in range(pairs)), count


def _tensor(stream: BinaryIO) -> Tensor:
    name = _string(stream)
    shape = tuple(_number(stream, "Q") for _ in range(_number(stream, "I")))
    return Tensor(name, shape, _number(stream, "I"), _number(stream, "Q"))


def tokenizer(pairs: dict[str, Any]) -> tokenizers.Tokenizer:
    """The model's own tokenizer. Raises BadRequestError for a kind that is not known here."""
    kind, pre = pairs.get("tokenizer.ggml.model"), pairs.get("tokenizer.ggml.pre", "default")
    splitter = _splitter(pre)
    if kind != "gpt2" or splitter is None:
        raise BadRequestError(
            f"the GGUF file's tokenizer ({kind}, {pre}) is not known; take an OpenVINO or Transformers folder."
        )
    texts: list[str] = pairs["tokenizer.ggml.tokens"]
    vocabulary = {text: i for i, text in enumerate(texts)}
    merges = [tuple(merge.split(" ", 1)) for merge in pairs["tokenizer.ggml.merges"]]
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in ("llama-bpe", "llama3")))
    made.pre_tokenizer = splitter
    made.decoder = decoders.ByteLevel()
    types: list[int] = pairs["tokenizer.ggml.token_type"]
    for wanted, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        tokens = [
            AddedToken(t, special=special, normalized=False) for t, k in zip(texts, types, strict=True) if k == wanted
        ]
        made.add_special_tokens(tokens) if special else made.add_tokens(tokens)
    return made


def _splitter(pre: str) -> Any:
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if pre in ("default", "gpt-2"):
        return whole
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    pattern = {"llama-bpe": _LLAMA3, "llama3": _LLAMA3, "qwen2": _QWEN2}.get(pre)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bare]) if pattern else None


def _pair(stream: BinaryIO) -> tuple[str, Any]:
    key = _string(stream)
    return key, _value(stream, _number(stream, "I"))


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(stream)
    if kind != _ARRAY:
        return _number(stream, _FORMATS[kind])
    of, length = _number(stream, "I"), _number(stream, "Q")
    if of in (_STRING, _ARRAY):
        return [_value(stream, of) for _ in range(length)]
    code = f"<{length}{_FORMATS[of]}"
    return list(struct.unpack(code, stream.read(struct.calcsize(code))))


def _number(stream: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", stream.read(struct.calcsize(f"<{code}")))[0]


def _string(stream: BinaryIO) -> str:
    return stream.read(_number(stream, "Q")).decode("utf-8", "replace")
