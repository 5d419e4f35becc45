"""One generation of a collection: a directory with SQLite, the truth, and the two indexes that follow it."""

import json
import logging
import os
import sqlite3
from pathlib import Path

import numpy as np

from indexing.document import Hit
from indexing.errors import DamagedIndexError
from indexing.store import rows
from indexing.store.allowed import Allowed
from indexing.store.bm25 import Bm25
from indexing.store.database import Database, storage_errors
from indexing.store.lock import WriterLock
from indexing.store.manifest import Manifest
from indexing.store.names import CURRENT
from indexing.store.tail import Vectors
from indexing.store.vectors import VectorIndex

log = logging.getLogger(__name__)

_DATABASE = "store.sqlite3"
_LOCK_TIMEOUT_S = 60.0
_FEW = 20_000
"""Ids that BM25 is told one by one; past it hits are filtered as they come."""


class Generation:
    def __init__(self, path: Path, database: Database, manifest: Manifest) -> None:
        self.path = path
        self.database = database
        self.manifest = manifest
        self._vectors = VectorIndex(database, manifest.dimension)
        self._bm25 = Bm25(path / "bm25", manifest.language)
        self._buried = 0
        """The newest row of `dead` that BM25 has taken out."""

    @classmethod
    def open(cls, path: Path) -> "Generation":
        file = path / _DATABASE
        if not file.is_file():
            raise DamagedIndexError(f"{file} is missing: restore a snapshot with `ragline index restore`")
        database = Database(file)
        with database.reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'manifest'").fetchone()
        return cls(path, database, Manifest.from_json(row[0] if row else "", path.parent))

    @classmethod
    def first(cls, path: Path, manifest: Manifest) -> None:
        """Make a collection, unless another process has just done it."""
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = WriterLock(path)
            lock.acquire(_LOCK_TIMEOUT_S)
            try:
                if not (path / CURRENT).exists():
                    cls.create(path / "g000001", manifest)
                    point_to(path, "g000001")
            finally:
                lock.release()

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> None:
        """An empty one; what a killed process left there is removed."""
        path.mkdir(exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            (path / f"{_DATABASE}{suffix}").unlink(missing_ok=True)
        Database.create(path / _DATABASE, manifest.to_json()).close()

    def search_dense(self, query: Vectors, k: int, only: Allowed | None) -> list[Hit]:
        candidates = self._vectors.search(query, k, only)
        with self.database.reading() as connection:
            ids, vectors = rows.vectors(connection, candidates.tolist(), self.manifest.dimension)
        scores = vectors @ query
        best = np.argsort(-scores, kind="stable")[:k]
        return [Hit(int(ids[at]), float(scores[at])) for at in best]

    def search_sparse(self, text: str, k: int, only: Allowed | None) -> list[Hit]:
        """Asks for more where hits were dropped: those that SQLite no longer has, and those that are not allowed."""
        few = only.ids().tolist() if only is not None and only.count <= _FEW else None
        limit = k + 16
        while True:
            found = self._bm25.search(text, limit, few)
            kept = self._kept(found, only)
            if len(kept) >= k or len(found) < limit:
                return kept[:k]
            limit *= 4

    def _kept(self, found: list[tuple[int, float]], only: Allowed | None) -> list[Hit]:
        if only is not None:
            inside = only.contains(np.array([each for each, _ in found], np.int64))
            found = [each for each, keep in zip(found, inside, strict=True) if keep]
        with self.database.reading() as connection:
            there = _there(connection, [each for each, _ in found])
        return [Hit(each, score) for each, score in found if each in there]

    def behind(self) -> bool:
        """Whether BM25 lacks what SQLite has."""
        with self.database.reading() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
        return int(newest) > self._bm25.newest()

    def follow(self) -> None:
        """Bring the indexes up to SQLite. What fails here is made up for later: the write itself is durable."""
        try:
            with self.database.reading() as connection:
                self._buried = self._bm25.follow(connection, self._buried)
        except (ValueError, OSError) as exc:
            log.warning("BM25 of %s is behind, and will catch up with the next write: %s", self.path, exc)
            self._bm25.let_go()

    def let_go(self) -> None:
        """Before another process writes."""
        self._bm25.let_go()

    def close(self) -> None:
        self._bm25.settle()
        self._vectors.close()
        self.database.close()


def _there(connection: sqlite3.Connection, ids: list[int]) -> set[int]:
    found = connection.execute(
        "SELECT id FROM vectors WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
    )
    return {each for (each,) in found}


def point_to(path: Path, generation: str) -> None:
    """Make a generation the current one, in one durable step."""
    temporary = path / f"{CURRENT}.new"
    with temporary.open("w") as file:
        file.write(generation)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path / CURRENT)
    for directory in (path / generation, path):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
