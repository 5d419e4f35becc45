"""Reads what the services answer, which may be anything: the wrong count, a page, NaN.

All functions take parsed JSON and raise ValueError, LookupError, TypeError, ArithmeticError or RecursionError for what
is not of its form; services.client makes EngineError of them.
"""

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_MESSAGE_CHARS = 500
_FLOAT32_MAX = np.finfo(np.float32).max
_WINDOWS = (
    "max_model_len",  # vLLM, SGLang, ragline
    "loaded_context_length",  # LM Studio
    "context_length",  # OpenRouter
    "context_window",  # Groq
    "max_context_length",  # LM Studio, of the model
    "n_ctx",  # llama.cpp, in `meta`
    "n_ctx_train",  # llama.cpp, of the model
)
"""Fields of a /v1/models entry that tell the context length, the served one before the model's."""


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer; the last one carries `finish_reason` and `usage`."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


def model_entry(listed: Any, name: str) -> dict[str, Any]:
    """The entry of /v1/models that is named so, or the only one; {} where others are listed."""
    entries = {text(entry["id"]): dict(entry) for entry in listed["data"]}
    if name in entries:
        return entries[name]
    if len(entries) == 1:
        return next(iter(entries.values()))
    if name and entries:
        return {}
    raise LookupError(f"it lists {len(entries)} models; say which by served_model_name")


def window(entry: dict[str, Any]) -> int | None:
    """The context length in tokens of an entry of /v1/models, where it has one."""
    meta = entry.get("meta")
    told = {**meta, **entry} if isinstance(meta, dict) else entry
    return next((told[name] for name in _WINDOWS if isinstance(told.get(name), int) and told[name] > 0), None)


def added_tokens(answer: Any) -> frozenset[str]:
    """The tokens of /tokenizer_info, but for those of white space and of one character, which texts are full of."""
    listed = map(text, dict(answer["added_tokens_decoder"]).values())
    return frozenset(token for token in listed if len(token.replace("▁", " ").strip()) > 1)


def chat_chunk(chunk: Any) -> Delta:
    written, finish = "", None
    for choice in map(dict, chunk["choices"]):
        written += text(dict(choice["delta"] or {}).get("content") or "")
        finish = text(choice.get("finish_reason") or "") or finish
    counts = chunk.get("usage")
    usage = Usage(natural(counts["prompt_tokens"]), natural(counts["completion_tokens"])) if counts else None
    return Delta(written, finish, usage)


@dataclass(frozen=True, slots=True)
class Decision:
    """A question's answer of /v1/systemone. value: the probability of yes, the option, or the expected level."""

    value: float | str
    confidence: float
    """Probability of the likeliest label, over the whole vocabulary."""


def decisions(answer: Any, questions: Collection[str]) -> dict[str, Decision]:
    """Raises LookupError where one of the questions is not answered."""
    return {key: _decision(answer["answers"][key]) for key in questions}


def _decision(answer: Any) -> Decision:
    value, confidence = answer[answer["type"]], float(_finite(answer["confidence"]))
    return Decision(text(value) if answer["type"] == "choice" else float(_finite(value)), confidence)


def embeddings(answer: Any, count: int) -> NDArray[np.float32]:
    """(count, dimension) of /v1/embeddings' `data`, of length 1 each."""
    vectors = np.stack([_floats(item["embedding"]) for item in _in_order(answer["data"], count)])
    if vectors.ndim != 2 or not vectors.size:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"embeddings of the shape {vectors.shape}")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def scores(answer: Any, count: int) -> NDArray[np.float32]:
    """(count,) of /score's `data`, of /rerank's `results`, or of TEI's bare list."""
    items = answer if isinstance(answer, list) else answer["data" if "data" in answer else "results"]
    read = _finite([item.get("relevance_score", item.get("score")) for item in _in_order(items, count)])
    if read.ndim != 1:
        raise ValueError(f"scores of the shape {read.shape}")
    return read.astype(np.float32)


def predictions(answer: Any, count: int) -> list[dict[str, float]]:
    """The probability of each label, for each input of TEI's /predict."""
    read = [{text(each["label"]): each["score"] for each in labels} for labels in answer]
    if len(read) != count or not all(read):
        raise ValueError(f"labels of {len(read)} inputs, for {count} inputs")
    for labels in read:
        _finite(list(labels.values()))
    return read


def _in_order(items: Any, count: int) -> list[dict[str, Any]]:
    """The items by their `index`. Raises ValueError unless each of 0 .. count - 1 is there exactly once."""
    found = {natural(item["index"]): item for item in items}
    if len(items) != count or found.keys() != set(range(count)):
        raise ValueError(f"{len(items)} results, of {len(found)} inputs, for {count} inputs")
    return [found[index] for index in range(count)]


def _floats(embedding: Any) -> NDArray[np.float64]:
    if isinstance(embedding, str):
        embedding = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    return _finite(embedding)


def _finite(values: Any) -> NDArray[np.float64]:
    """Raises ValueError for what is, or as float32 would be, NaN or infinite."""
    array = np.asarray(values, dtype=np.float64)
    if not (np.abs(array) <= _FLOAT32_MAX).all():
        raise ValueError("a number that is not finite")
    return array


def natural(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r:.100} where a count is expected")
    return value


def text(value: Any) -> str:
    """Raises TypeError, or UnicodeEncodeError for a lone surrogate, which no answer of ours could carry."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} where text is expected")
    value.encode()
    return value


def message(body: Any) -> str:
    """The message of an error body: OpenAI's object, TEI's string, or SGLang's flat form."""
    detail = body.get("error", body) if isinstance(body, dict) else body
    said = detail.get("message", "") if isinstance(detail, dict) else detail
    return str(said).encode("utf-8", "replace").decode()[:MAX_MESSAGE_CHARS]


def seconds(retry_after: str) -> int | None:
    """Retry-After in seconds, of a number or an HTTP date; None for anything else."""
    if re.fullmatch(r"[0-9]{1,6}", retry_after):
        return int(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
        return max(0, round((at - datetime.now(UTC)).total_seconds()))
    except (ValueError, TypeError, OverflowError):
        return None
