"""Incremental detokenization: no partial characters, and nothing of a stop string before it is ruled out."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.generate.vocabulary import Vocabulary


@dataclass(slots=True)
class Detokenizer:
    vocabulary: Vocabulary
    stop: Sequence[str] = ()
    skip_special: bool = True
    include_stop: bool = False
    min_tokens: int = 0
    """Stop strings are looked for only after this many tokens."""
    tokens: int = 0
    stopped_by: str | None = None
    _held: str = ""
    """Text that may turn out to be the beginning of a stop string."""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, token_id: int) -> str:
        """The text that can be sent now. Nothing follows once `stopped_by` is set."""
        self.tokens += 1
        if self.skip_special and token_id in self.vocabulary.special:
            return ""
        text = self._decoder.decode(self.vocabulary.raw(token_id))
        if not self.stop or self.tokens <= self.min_tokens:
            return text
        self._held += text
        found = min(((at, s) for s in self.stop if (at := self._held.find(s)) >= 0), default=None)
        if found is None:
            return self._release(self._unsure())
        self.stopped_by = found[1]
        end = found[0] + (len(found[1]) if self.include_stop else 0)
        text, self._held = self._held[:end], ""
        return text

    def rest(self) -> str:
        """The held text at the end of the stream; a partial character is dropped."""
        return self._release(0)

    def _release(self, keep: int) -> str:
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def _unsure(self) -> int:
        """Length of the longest end of the held text that a stop string begins with."""
        longest = min(max(map(len, self.stop)) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if any(s.startswith(self._held[-n:]) for s in self.stop)), 0)
