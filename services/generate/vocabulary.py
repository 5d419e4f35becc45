"""Text to token ids and back, and what bytes each token stands for."""

import re
from collections.abc import Sequence
from functools import cached_property

import tokenizers

from services.errors import BadRequestError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_BYTE_LEVEL = {chr(b): b for b in _PRINTABLE} | {
    chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in _PRINTABLE)
}
"""Byte-level BPE writes each byte as one printable character (GPT-2)."""


class Vocabulary:
    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._inner = tokenizer
        self._inner.no_padding()
        self._inner.no_truncation()
        self.size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        added = tokenizer.get_added_tokens_decoder()
        self.special = frozenset(i for i, token in added.items() if token.special)
        self.added = {i: token.content for i, token in added.items()}
        self._byte_level = "ByteLevel" in str(tokenizer.decoder)
        self._bytes: dict[int, bytes] = {}

    @cached_property
    def max_chars_per_token(self) -> int:
        return max(map(len, self._inner.get_vocab(with_added_tokens=True)))

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Raises BadRequestError for a text that is not valid Unicode."""
        try:
            ids: list[int] = self._inner.encode(text, add_special_tokens=special).ids
        except (UnicodeEncodeError, TypeError) as exc:
            raise BadRequestError("the text is not valid Unicode: it has a lone surrogate.") from exc
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Skips ids that are out of the vocabulary."""
        text: str = self._inner.decode([i for i in ids if i < self.size], skip_special_tokens=False)
        return text

    def token(self, token_id: int) -> str:
        """The token as the vocabulary writes it: "Ġhello" for " hello"."""
        return self._inner.id_to_token(token_id) or ""

    def shown(self, token_id: int, *, as_id: bool) -> str:
        """The token as logprobs name it."""
        return f"token_id:{token_id}" if as_id else self.raw(token_id).decode("utf-8", "replace")

    def id(self, token: str) -> int | None:
        found: int | None = self._inner.token_to_id(token)
        return found

    def raw(self, token_id: int) -> bytes:
        """The bytes that the token adds to the text; they may be part of a UTF-8 character."""
        found = self._bytes.get(token_id)
        if found is None:
            found = self._bytes[token_id] = self._of(token_id)
        return found

    def _of(self, token_id: int) -> bytes:
        if (added := self.added.get(token_id)) is not None:
            return added.encode()
        token = self.token(token_id)
        if self._byte_level:
            return bytes(_BYTE_LEVEL[character] for character in token)
        if (match := _BYTE_TOKEN.fullmatch(token)) is not None:
            return bytes.fromhex(match[1])
        return token.replace("▁", " ").encode()
