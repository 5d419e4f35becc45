"""Sparse search: the BM25 index that SQLite names, kept up with it."""

import logging
import shutil
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from indexing.errors import DamagedIndexError
from indexing.store.database import Database
from indexing.store.local.sparse.bm25 import Bm25

log = logging.getLogger(__name__)


class SparseIndex:
    """For any thread. It is rebuilt beside the one in use, and then named in its place: bm25-NUMBER-LANGUAGE."""

    def __init__(self, path: Path, database: Database, language: str) -> None:
        self._path = path
        self._database = database
        self._first = _name(1, language)
        self._guard = threading.Lock()
        self._opened: tuple[str, Bm25] | None = None
        self.tombstone = 0
        """The newest row of `dead` whose chunks it does not hold."""
        with database.reading() as connection:
            self.tombstone = int(_meta(connection, "buried", "0"))

    def search(self, text: str, k: int, documents: Sequence[int] | None) -> list[tuple[int, float]]:
        return self.current().search(text, k, documents)

    def current(self) -> Bm25:
        """Raises DamagedIndexError."""
        with self._database.reading() as connection:
            name = _meta(connection, "bm25", self._first)
        with self._guard:
            if self._opened is None or self._opened[0] != name:
                self._opened = name, Bm25(self._path / name, _language(name))
            return self._opened[1]

    def directory(self) -> Path:
        with self._database.reading() as connection:
            return self._path / _meta(connection, "bm25", self._first)

    def behind(self) -> bool:
        """Whether it lacks what SQLite has, or is damaged."""
        with self._database.reading() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
        try:
            return int(newest) > self.current().newest()
        except DamagedIndexError:
            return True

    def catch_up(self) -> None:
        """Take in what SQLite has. By the writer. A damaged one is built anew."""
        try:
            bm25 = self.current()
            with self._database.reading() as connection:
                self.tombstone = bm25.catch_up(connection, self.tombstone)
        except DamagedIndexError as exc:
            log.warning("building BM25 anew: %s", exc)
            self.rebuild()

    def rebuild(self, language: str | None = None) -> None:
        """From SQLite, beside the one in use; in another language, if one is given. By the writer."""
        with self._database.reading() as connection:
            old = _meta(connection, "bm25", self._first)
        name = _name(int(old.split("-")[1]) + 1, language or _language(old))
        shutil.rmtree(self._path / name, ignore_errors=True)
        fresh = Bm25(self._path / name, _language(name))
        with self._database.reading() as connection:
            self.tombstone = fresh.catch_up(connection, 0)
        with self._database.writing() as connection:
            _set_meta(connection, "bm25", name)
            self.save_tombstone(connection)
        self.close_writer()
        with self._guard:
            self._opened = name, fresh
        shutil.rmtree(self._path / old, ignore_errors=True)

    def save_tombstone(self, connection: sqlite3.Connection) -> None:
        """Record what is buried. An older record does no harm: the same dead are taken out once more."""
        _set_meta(connection, "buried", str(self.tombstone))

    def close_writer(self) -> None:
        """Close the writer; what it is merging is given up."""
        with self._guard:
            if self._opened is not None:
                self._opened[1].close_writer()

    def close(self) -> None:
        """Close the writer when what it is merging is done."""
        with self._guard:
            if self._opened is not None:
                self._opened[1].close()


def _name(number: int, language: str) -> str:
    return f"bm25-{number}-{language}"


def _language(name: str) -> str:
    return name.split("-", 2)[2]


def _meta(connection: sqlite3.Connection, name: str, default: str) -> str:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else default


def _set_meta(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
