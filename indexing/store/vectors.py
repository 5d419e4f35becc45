"""Dense search: a tail in memory that follows SQLite, and sealed segments beside it."""

import sqlite3
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.store import rows
from indexing.store.allowed import Allowed, Ids
from indexing.store.database import Database
from indexing.store.tail import Tail

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """What a search sees; replaced, never changed."""

    tail: Tail
    newest: int
    """The highest chunk id taken in."""
    deaths: int
    """The newest row of `dead` taken in."""


class VectorIndex:
    """For any thread: each search sees all that was committed before it, by this process or another."""

    def __init__(self, database: Database, dimension: int) -> None:
        self._database = database
        self._dimension = dimension
        self._guard = threading.Lock()
        self._watch = database.watch()
        self._version = -1
        self._view = View(Tail.empty(dimension), 0, 0)

    def view(self) -> View:
        """The newest one: follows SQLite where something was committed since the last."""
        with self._guard:
            (version,) = self._watch.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                with self._database.reading() as connection:
                    self._view = self._followed(connection, self._view)
                # A commit between the two is seen next time: this version is older than what was read.
                self._version = version
            return self._view

    def search(self, query: Vector, k: int, allowed: Allowed | None) -> Ids:
        """At least k candidates where there are as many, more or less in order; the store scores them exactly."""
        ids, _ = self.view().tail.search(query, k, allowed)
        return ids

    def _followed(self, connection: sqlite3.Connection, view: View) -> View:
        tail = view.tail
        deaths = view.deaths
        for seq, first, last in connection.execute(
            "SELECT seq, first_chunk, last_chunk FROM dead WHERE seq > ? ORDER BY seq", (view.deaths,)
        ):
            tail, deaths = tail.without(first, last), seq
        ids, vectors = rows.vectors_after(connection, view.newest, self._dimension)
        if not len(ids):
            return View(tail, view.newest, deaths)
        return View(tail.added(ids, vectors), int(ids[-1]), deaths)

    def close(self) -> None:
        with self._guard:
            self._watch.close()
