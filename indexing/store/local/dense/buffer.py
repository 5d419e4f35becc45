"""The newest vectors, which no segment holds yet: in memory, and scanned by a search."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.store.interface import Vectors
from indexing.store.local.dense.native import faiss
from indexing.store.local.sqlite.allowed import Allowed, Ids

_LEAST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Buffer:
    """Immutable; each change returns a new one. added() shares the memory of the arrays."""

    ids: Ids
    """Ascending, (capacity,); only the first `count` are used."""
    vectors: Vectors
    """(capacity, d)"""
    live: NDArray[np.bool_]
    """False for deleted rows, (count,)."""
    count: int

    @classmethod
    def empty(cls, dimension: int) -> "Buffer":
        return cls(np.zeros(0, np.int64), np.zeros((0, dimension), np.float32), np.zeros(0, np.bool_), 0)

    def added(self, ids: Ids, vectors: Vectors) -> "Buffer":
        """Append newer rows. Only on the newest buffer, whose unused rows no other has written to."""
        count = self.count + len(ids)
        held, matrix = self.ids, self.vectors
        if count > len(held):
            capacity = max(count, 2 * len(held), _LEAST_ROWS)
            held, matrix = np.empty(capacity, np.int64), np.empty((capacity, matrix.shape[1]), np.float32)
            held[: self.count], matrix[: self.count] = self.ids[: self.count], self.vectors[: self.count]
        held[self.count : count], matrix[self.count : count] = ids, vectors
        return Buffer(held, matrix, np.append(self.live, np.ones(len(ids), np.bool_)), count)

    def without(self, first: int, last: int) -> "Buffer":
        """Mark the chunks from first to last as deleted."""
        start, stop = np.searchsorted(self.ids[: self.count], (first, last + 1))
        if start == stop:
            return self
        live = self.live.copy()
        live[start:stop] = False
        return Buffer(self.ids, self.vectors, live, self.count)

    def after(self, newest: int) -> "Buffer":
        """A copy of the live rows past the chunk id `newest`."""
        start = int(np.searchsorted(self.ids[: self.count], newest, side="right"))
        keep = np.flatnonzero(self.live[start:]) + start
        return Buffer(self.ids[keep], self.vectors[keep], np.ones(len(keep), np.bool_), len(keep))

    def search(self, query: Vectors, k: int, allowed: Allowed | None) -> tuple[Ids, Vectors]:
        """Ids and inner products of the k best, in no order."""
        ids = self.ids[: self.count]
        keep = self.live if allowed is None else self.live & allowed.contains(ids)
        if not keep.all():
            rows = np.flatnonzero(keep)
            # Copying few rows is cheaper than scoring all; copying many is not.
            if len(rows) * 4 < self.count:
                return _best(ids[rows], inner_products(self.vectors[rows], query), k)
            return _best(ids[rows], inner_products(self.vectors[: self.count], query)[rows], k)
        return _best(ids, inner_products(self.vectors[: self.count], query), k)


def _best(ids: Ids, scores: Vectors, k: int) -> tuple[Ids, Vectors]:
    if len(ids) <= k:
        return ids, scores
    top = np.argpartition(scores, -k)[-k:]
    return ids[top], scores[top]


def inner_products(vectors: Vectors, query: Vectors) -> Vectors:
    """(n, d), (d,) -> (n,). By FAISS on this thread, for numpy's BLAS starts threads even for small products."""
    scores = np.empty(len(vectors), np.float32)
    matrix = np.ascontiguousarray(vectors)
    faiss.fvec_inner_products_ny(
        faiss.swig_ptr(scores), faiss.swig_ptr(query), faiss.swig_ptr(matrix), matrix.shape[1], len(matrix)
    )
    return scores
