"""The chunks that a filter leaves: ranges of ids, one for each document."""

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.store.filters import Filters
from indexing.store.where import where

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Allowed:
    first: Ids
    """Ascending; ranges do not overlap."""
    last: Ids
    """Inclusive."""

    @property
    def count(self) -> int:
        return int((self.last - self.first + 1).sum())

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        if not len(self.first):
            return np.zeros(len(ids), np.bool_)
        at = np.searchsorted(self.first, ids, side="right") - 1
        return (at >= 0) & (ids <= self.last[at])

    def bits(self, last: int) -> NDArray[np.uint8]:
        """Of the ids 0 to last: bit n of byte m is id 8 m + n."""
        member = np.zeros(last + 1, np.bool_)
        ids = self.ids()
        member[ids[: np.searchsorted(ids, last, side="right")]] = True
        return np.packbits(member, bitorder="little")

    def ids(self) -> Ids:
        """All of them, ascending."""
        lengths = self.last - self.first + 1
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
        spread: Ids = np.repeat(self.first, lengths) + within
        return spread


def allowed(connection: sqlite3.Connection, filters: Filters) -> Allowed:
    """Raises FilterError."""
    condition, parameters = where(filters)
    sql = f"SELECT first_chunk, chunks FROM documents WHERE chunks > 0 AND ({condition}) ORDER BY first_chunk"  # noqa: S608
    rows = np.array(connection.execute(sql, parameters).fetchall(), np.int64).reshape(-1, 2)
    return Allowed(first=rows[:, 0], last=rows[:, 0] + rows[:, 1] - 1)
