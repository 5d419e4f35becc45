"""The chunks that a filter allows, as ranges of ids."""

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.store.local.sqlite.where import Clause

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Allowed:
    documents: Ids
    """Keys of documents, (documents,)."""
    first: Ids
    """First chunk of each document, ascending, (documents,)."""
    last: Ids
    """Last chunk of each, inclusive, (documents,)."""

    @property
    def count(self) -> int:
        return int((self.last - self.first + 1).sum())

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        if not len(self.first):
            return np.zeros(len(ids), np.bool_)
        at = np.searchsorted(self.first, ids, side="right") - 1
        return (at >= 0) & (ids <= self.last[at])

    def bits(self, last: int) -> NDArray[np.uint8]:
        """A bitmap of the ids 0 to last: bit n of byte m is id 8 m + n."""
        member = np.zeros(last + 1, np.bool_)
        ids = self.ids()
        member[ids[: np.searchsorted(ids, last, side="right")]] = True
        return np.packbits(member, bitorder="little")

    def ids(self) -> Ids:
        """All allowed chunk ids, ascending."""
        return spread(self.first, self.last)


def spread(first: Ids, last: Ids) -> Ids:
    """All ids of these ranges, each inclusive."""
    lengths = last - first + 1
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    ids: Ids = np.repeat(first, lengths) + within
    return ids


def allowed(connection: sqlite3.Connection, clause: Clause) -> Allowed:
    condition, parameters = clause
    sql = f"SELECT key, first_chunk, chunks FROM documents WHERE chunks > 0 AND ({condition}) ORDER BY first_chunk"  # noqa: S608
    rows = np.array(connection.execute(sql, parameters).fetchall(), np.int64).reshape(-1, 3)
    return Allowed(documents=rows[:, 0], first=rows[:, 1], last=rows[:, 1] + rows[:, 2] - 1)
