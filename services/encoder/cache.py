"""An LRU cache of rows by input. Used by the event loop only."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from services.engines.encoder.interface import Rows, Tokens
from services.http.metrics import Metrics

Key = bytes


def key_of(tokens: Tokens) -> Key:
    return blake2b(tokens.ids.tobytes() + tokens.types.tobytes(), digest_size=16).digest()


@dataclass(slots=True)
class RowCache:
    """Keeps at most `entries` rows; 0 turns it off."""

    entries: int
    metrics: Metrics
    _rows: OrderedDict[Key, Rows] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, inputs: Sequence[Tokens]) -> "Lookup":
        keys = [key_of(tokens) for tokens in inputs]
        known = {key: self._rows[key] for key in keys if key in self._rows}
        for key in known:
            self._rows.move_to_end(key)
        self.metrics.cache_queries.inc(len(keys))
        self.metrics.cache_hits.inc(sum(key in known for key in keys))
        first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in known}
        return Lookup(self, keys, known, sorted(first.values()))

    def keep(self, key: Key, row: Rows) -> None:
        self._rows[key] = row.copy()
        if len(self._rows) > self.entries:
            self._rows.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Lookup:
    """missing: indices of the inputs that the cache lacks, equal inputs once."""

    cache: RowCache
    keys: Sequence[Key]
    known: dict[Key, Rows]
    missing: Sequence[int]

    def filled(self, read: Rows) -> Rows:
        """(n, width) rows of all inputs. read: (len(missing), width), which the cache keeps."""
        rows = dict(self.known)
        for index, row in zip(self.missing, read, strict=True):
            rows[self.keys[index]] = row
            self.cache.keep(self.keys[index], row)
        whole: Rows = np.stack([rows[key] for key in self.keys])
        return whole
