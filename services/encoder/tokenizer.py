"""Strings to tokens: the model's own tokenizer.json, one batch call a request, vLLM's rules of length and truncation.

Sequences are tokenized bare and joined with their special tokens here, so that the query of a rerank is tokenized once
and truncation needs no state in the tokenizer. How they are joined is read off the tokenizer itself.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tokenizers

from services.engines.encoder.interface import Ids, Tokens
from services.errors import BadRequestError

Side = Literal["left", "right"]
SLICE_CHARS = 2**16
"""Characters that are tokenized at a time, some 50 ms' worth; then another request has its turn."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """How inputs are truncated. limit: special tokens included; per_query, per_document: 0 is no limit."""

    limit: int | None = None
    side: Side | None = None
    per_query: int = 0
    per_document: int = 0


@dataclass(frozen=True, slots=True)
class _Frame:
    """The special tokens before, between and after sequences, as (ids, segments), and the sequences' segments."""

    pieces: tuple[tuple[Ids, Ids], ...]
    segments: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(len(ids) for ids, _ in self.pieces)

    def fill(self, *sequences: Ids) -> Tokens:
        ids, types = [self.pieces[0][0]], [self.pieces[0][1]]
        for sequence, segment, (after, after_types) in zip(sequences, self.segments, self.pieces[1:], strict=True):
            ids += [sequence, after]
            types += [np.full(len(sequence), segment), after_types]
        return Tokens(np.concatenate(ids), np.concatenate(types))


class Tokenizer:
    def __init__(self, file: Path, *, max_model_len: int, config: dict[str, Any] | None = None) -> None:
        self.text = file.read_text(encoding="utf-8")
        self._inner = tokenizers.Tokenizer.from_str(self.text)
        self._inner.no_padding()
        self._inner.no_truncation()
        config = config or {}
        self.max_model_len = max_model_len
        self._side: Side = "left" if config.get("truncation_side") == "left" else "right"
        self.pad_id = self._pad_id(config.get("pad_token"))
        self._single = self._frame(("a",))
        self._pair = self._frame(("a", "b"))
        self.vocab_size = self._inner.get_vocab_size(with_added_tokens=True)

    @classmethod
    def load(cls, folder: Path, *, max_model_len: int) -> Self:
        """Raises BadRequestError where the folder has no tokenizer.json."""
        file, config = folder / "tokenizer.json", folder / "tokenizer_config.json"
        if not file.is_file():
            raise BadRequestError(f"{folder} has no tokenizer.json; a fast tokenizer is needed.")
        return cls(
            file, max_model_len=max_model_len, config=json.loads(config.read_text()) if config.is_file() else None
        )

    @cached_property
    def max_chars_per_token(self) -> int:
        return max(map(len, self._inner.get_vocab(with_added_tokens=True)))

    def encode(self, texts: Sequence[str], cut: Truncation, *, special: bool = True) -> list[Tokens]:
        """One Tokens a text. Raises BadRequestError for one that is too long, or empty without special tokens."""
        self._check_chars(texts, cut)
        return [self._whole(ids, cut, special=special) for ids in self._bare(texts)]

    def encode_ids(self, sequences: Sequence[Sequence[int]], cut: Truncation) -> list[Tokens]:
        """Truncates token ids and adds none. Raises BadRequestError for one out of the vocabulary."""
        for sequence in sequences:
            wrong = next((i for i in sequence if not 0 <= i < self.vocab_size), None)
            if wrong is not None:
                raise BadRequestError(f"Token id {wrong} is out of vocabulary")
            if cut.limit is None and len(sequence) > self.max_model_len:
                raise self._too_many(len(sequence))
        return [self._whole(np.array(s, dtype=np.int64), cut, special=False) for s in sequences]

    def encode_pairs(self, queries: Sequence[str], documents: Sequence[str], cut: Truncation) -> Iterator[list[Tokens]]:
        """One Tokens a document, in slices; a single query goes with all of them."""
        asked: list[Ids] = []
        for part in slices(map(len, queries)):
            asked += self._bare(queries[part])
            yield []
        for part in slices(map(len, documents)):
            read = self._bare(documents[part])
            pairs = zip(asked[part] if len(queries) > 1 else asked * len(read), read, strict=True)
            yield [self._joined(query, document, cut) for query, document in pairs]

    def ids(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text of any length."""
        bare = self._bare([text])[0]
        whole = self._single.fill(bare).ids if special else bare
        return [int(i) for i in whole]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones counted."""
        return [len(ids) + self._single.size for ids in self._bare(texts)]

    def shortened(self, texts: Sequence[str], most: Sequence[int], side: Side) -> list[str]:
        """Texts cut at a token's border to `most` tokens each, special tokens not counted."""
        encodings = _encodings(self._inner.encode_batch, texts)
        return [_shortened(text, e.offsets, n, side) for text, e, n in zip(texts, encodings, most, strict=True)]

    def decode(self, ids: Sequence[int]) -> str:
        """Skips ids that are out of the vocabulary."""
        return self._inner.decode([i for i in ids if i < self.vocab_size], skip_special_tokens=False)

    def strings(self, ids: Iterable[int]) -> list[str]:
        return [self._inner.id_to_token(i) or "" for i in ids]

    def limit(self, truncate_prompt_tokens: int | None) -> int | None:
        """The length that a request asks to be cut to. Raises BadRequestError where the model cannot take it."""
        if truncate_prompt_tokens is None:
            return None
        if truncate_prompt_tokens > self.max_model_len:
            raise BadRequestError(
                "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller truncation size."
            )
        return self.max_model_len if truncate_prompt_tokens < 0 else truncate_prompt_tokens

    def _bare(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids without special tokens; equal texts are tokenized once."""
        distinct = list(dict.fromkeys(texts))
        encodings = _encodings(self._inner.encode_batch_fast, distinct)
        ids = {text: np.array(e.ids, dtype=np.int64) for text, e in zip(distinct, encodings, strict=True)}
        return [ids[text] for text in texts]

    def _whole(self, ids: Ids, cut: Truncation, *, special: bool) -> Tokens:
        if cut.per_query:
            ids = ids[: cut.per_query]
        room = cut.limit
        if special and room is not None:
            room -= self._single.size
        if room is not None:
            ids = _cut(ids, max(room, 0), cut.side or self._side)
        tokens = self._single.fill(ids) if special else Tokens(ids, np.zeros_like(ids))
        return self._checked(tokens, cut.limit)

    def _joined(self, query: Ids, document: Ids, cut: Truncation) -> Tokens:
        side = cut.side or self._side
        if cut.per_query:
            query = query[: cut.per_query]
        if cut.per_document:
            document = document[: cut.per_document]
        if cut.limit is not None:
            room = max(cut.limit - self._pair.size, 0)
            document_room = room - len(query)
            if cut.per_document and document_room > 0:  # then only the document gives way
                document = _cut(document, document_room, side)
            else:
                first, second = longest_first(len(query), len(document), room)
                query, document = _cut(query, first, side), _cut(document, second, side)
        return self._checked(self._pair.fill(query, document), cut.limit)

    def _checked(self, tokens: Tokens, limit: int | None) -> Tokens:
        if limit is not None and len(tokens) > limit:  # less than the special tokens alone
            tokens = Tokens(tokens.ids[:limit], tokens.types[:limit])
        if len(tokens) > self.max_model_len:
            raise self._too_many(self.max_model_len + 1)
        if not len(tokens):
            raise BadRequestError("The decoder prompt cannot be empty")
        return tokens

    def _check_chars(self, texts: Iterable[str], cut: Truncation) -> None:
        """Raises BadRequestError, before tokenization, for a text that cannot fit even with the longest tokens."""
        if cut.limit is not None:
            return
        bound = self.max_model_len * self.max_chars_per_token
        for text in texts:
            if len(text) > bound:
                contains = f"{len(text)} characters (more than {bound} characters, which is the upper bound for "
                raise self._too_long(f"{contains}{self.max_model_len} input tokens)", "input_text", len(text))

    def _too_many(self, tokens: int) -> BadRequestError:
        """vLLM's words: 'at least' where tokens were counted up to the limit only."""
        least = "at least " if tokens == self.max_model_len + 1 else ""
        return self._too_long(f"{least}{tokens} input tokens", "input_tokens", tokens)

    def _too_long(self, contains: str, parameter: str, value: int) -> BadRequestError:
        excess = ", which exceeds this limit even without any output tokens" if parameter == "input_tokens" else ""
        return BadRequestError(
            f"This model's maximum context length is {self.max_model_len} tokens. However, your prompt contains "
            f"{contains}{excess}. Please reduce the length of the input prompt. (parameter={parameter}, value={value})",
            param=parameter,
        )

    def _pad_id(self, pad_token: Any) -> int:
        content = pad_token.get("content") if isinstance(pad_token, dict) else pad_token
        found = self._inner.token_to_id(content) if content else None
        return 0 if found is None else found

    def _frame(self, sample: tuple[str, ...]) -> _Frame:
        """Reads off where the tokenizer puts special tokens around one sequence or two."""
        encoding = self._inner.encode(sample[0], sample[1] if len(sample) > 1 else None, add_special_tokens=True)
        owners, ids, types = encoding.sequence_ids, encoding.ids, encoding.type_ids
        pieces: list[tuple[Ids, Ids]] = []
        segments: list[int] = []
        start = 0
        for sequence in range(len(sample)):
            places = [place for place, owner in enumerate(owners) if owner == sequence]
            pieces.append(_slice(ids, types, start, places[0]))
            segments.append(types[places[0]])
            start = places[-1] + 1
        pieces.append(_slice(ids, types, start, len(ids)))
        return _Frame(tuple(pieces), tuple(segments))


def slices(lengths: Iterable[int]) -> Iterator[slice]:
    """Consecutive items of at most SLICE_CHARS together, or a single longer one. lengths: of each item."""
    start = stop = size = 0
    for stop, length in enumerate(lengths, start=1):
        if size and size + length > SLICE_CHARS:
            yield slice(start, stop - 1)
            start, size = stop - 1, 0
        size += length + 1
    yield slice(start, stop)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths of two sequences cut to `room` together; the longer gives way first, as transformers does it."""
    if first + second <= room:
        return first, second
    shorter, longer = min(first, second), max(first, second)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return (shorter, longer) if first <= second else (longer, shorter)


def _encodings(encode: Callable[..., list[tokenizers.Encoding]], texts: Sequence[str]) -> list[tokenizers.Encoding]:
    """Without special tokens. Raises BadRequestError for what is no Unicode."""
    try:
        return encode(list(texts), add_special_tokens=False)
    except (UnicodeEncodeError, TypeError) as exc:
        raise BadRequestError("an input is not valid Unicode: it has a lone surrogate.") from exc


def _cut(ids: Ids, length: int, side: Side) -> Ids:
    if len(ids) <= length:
        return ids
    return ids[:length] if side == "right" else ids[len(ids) - length :]


def _shortened(text: str, offsets: Sequence[tuple[int, int]], most: int, side: Side) -> str:
    if len(offsets) <= most:
        return text
    if not most:
        return ""
    return text[: offsets[most - 1][1]] if side == "right" else text[offsets[-most][0] :]


def _slice(ids: list[int], types: list[int], start: int, stop: int) -> tuple[Ids, Ids]:
    return np.array(ids[start:stop], dtype=np.int64), np.array(types[start:stop], dtype=np.int64)
