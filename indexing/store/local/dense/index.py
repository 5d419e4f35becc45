"""Dense search over the segments and the buffer, which are brought up to date with SQLite before each search."""

import sqlite3
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexing.errors import DamagedIndexError
from indexing.store.database import Database, storage_errors
from indexing.store.interface import Vectors
from indexing.store.local.dense.buffer import Buffer
from indexing.store.local.dense.native import faiss
from indexing.store.local.dense.segment import Mask, Segment, read_segments
from indexing.store.local.sqlite import rows
from indexing.store.local.sqlite.allowed import Allowed, Ids, spread

_MAX_EXACT = 2000
"""Where a filter allows no more chunks, all of them are candidates, and no index is searched."""


@dataclass(frozen=True, slots=True)
class View:
    """What a search sees of one commit. Immutable."""

    segments: tuple[Segment, ...]
    live: Mask | None
    """The chunks of segments that are not deleted; None for all."""
    buffer: Buffer
    newest: int
    """The highest chunk id that is in."""
    tombstone: int
    """seq of the newest tombstone that is applied."""

    @property
    def sealed(self) -> int:
        """The highest chunk id of the segments."""
        return self.segments[-1].row.last if self.segments else 0


class DenseIndex:
    """For any thread. A search sees all that was committed before it, by any process."""

    def __init__(self, directory: Path, database: Database, dimension: int, threads: int) -> None:
        self.directory = directory
        self._database = database
        self._dimension = dimension
        self._threads = threads
        self._lock = threading.Lock()
        self._version: tuple[int, ...] = ()
        self._view = View((), None, Buffer.empty(dimension), 0, 0)

    def view(self) -> View:
        """The view of the newest commit."""
        with self._lock, storage_errors(self.directory):
            version = self._database.data_version()
            if version != self._version:
                self._view = self._refreshed()
                # Read before the rows: a commit between the two makes the next call refresh again.
                self._version = version
            return self._view

    def search(self, query: Vectors, k: int, allowed: Allowed | None) -> Ids:
        """Chunk ids among which the k best are, for the generation to score exactly."""
        if allowed is not None and allowed.count <= _MAX_EXACT:
            return allowed.ids()
        faiss.omp_set_num_threads(self._threads)  # of this thread only
        view = self.view()
        mask = view.live if allowed is None else _mask(view, allowed)
        found = [segment.search(query, k, mask) for segment in view.segments]
        found.append(view.buffer.search(query, k, allowed))
        ids, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        most = max(k, *(len(some) for some, _ in found))
        best: Ids = ids[np.argsort(-scores)[:most]]
        return best

    def _refreshed(self) -> View:
        missing = ""
        while True:
            with self._database.reading() as connection:
                try:
                    return self._updated(connection, self._view)
                except FileNotFoundError as exc:
                    # Deleted by a merge of another process since this transaction began; the next sees its successor.
                    if exc.filename == missing:
                        raise DamagedIndexError(f"{missing} is missing: run `ragline index repair`") from exc
                    missing = exc.filename

    def _updated(self, connection: sqlite3.Connection, view: View) -> View:
        stored = read_segments(connection)
        if [row.id for row in stored] != [segment.row.id for segment in view.segments]:
            opened = {segment.row.id: segment for segment in view.segments}
            segments = tuple(opened.get(row.id) or Segment.open(self.directory, row) for row in stored)
            sealed = segments[-1].row.last if segments else 0
            # Where nothing is open yet: no segment holds a chunk that was deleted before all of them were written.
            applied = view.tombstone if view.newest else min((row.deaths for row in stored), default=0)
            live = view.live and _grown(view.live, sealed)
            view = View(segments, live, view.buffer.after(sealed), max(view.newest, sealed), applied)
        return self._added(connection, _without_tombstones(connection, view))

    def _added(self, connection: sqlite3.Connection, view: View) -> View:
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM vectors").fetchone()
        if newest <= view.newest:
            return view
        ids, vectors = rows.vectors_between(connection, view.newest + 1, newest, self._dimension)
        return replace(view, buffer=view.buffer.added(ids, vectors), newest=newest)


def _without_tombstones(connection: sqlite3.Connection, view: View) -> View:
    """Apply the newer tombstones: to segments by the mask, to the buffer by its own."""
    sql = "SELECT seq, first_chunk, last_chunk FROM dead WHERE seq > ? ORDER BY seq"
    tombstones = connection.execute(sql, (view.tombstone,)).fetchall()
    if not tombstones:
        return view
    ranges = np.array([(first, last) for _, first, last in tombstones], np.int64)
    sealed = ranges[ranges[:, 0] <= view.sealed]
    buffer, live = view.buffer, view.live
    if len(sealed):
        live = _without(live or _grown(None, view.sealed), sealed[:, 0], np.minimum(sealed[:, 1], view.sealed))
    for first, last in ranges[ranges[:, 1] > view.sealed].tolist():
        buffer = buffer.without(first, last)
    return replace(view, live=live, buffer=buffer, tombstone=tombstones[-1][0])


def _grown(mask: Mask | None, last: int) -> Mask:
    """The mask up to the chunk id `last`: what it does not reach is allowed."""
    bits = np.full((last >> 3) + 1, 255, np.uint8)
    if mask is not None:
        bits[: len(mask.bits)] &= mask.bits[: len(bits)]
    return replace(Mask.of(bits, 1), fraction=1.0)


def _without(mask: Mask, first: Ids, last: Ids) -> Mask:
    """The mask without these ranges of chunk ids, each inclusive."""
    bits, ids = mask.bits.copy(), spread(first, last)
    np.bitwise_and.at(bits, ids >> 3, ~(np.uint8(1) << (ids & 7).astype(np.uint8)))
    return replace(Mask.of(bits, 1), fraction=1.0)


def _mask(view: View, allowed: Allowed) -> Mask:
    bits = allowed.bits(view.sealed)
    if view.live is not None:
        bits &= view.live.bits
    return Mask.of(bits, sum(segment.row.chunks for segment in view.segments))
