"""Sparse search: the BM25 index that SQLite names, and what keeps it up to date."""

import logging
import shutil
import sqlite3
import threading
from pathlib import Path

from indexing.errors import DamagedIndexError
from indexing.store.analyzer import VERSION
from indexing.store.database import Database
from indexing.store.local.sparse.bm25 import Bm25

log = logging.getLogger(__name__)


class SparseIndex:
    """For any thread. A rebuilt index goes into another folder, bm25-NUMBER-LANGUAGE, and is then named in `meta`."""

    def __init__(self, path: Path, database: Database, language: str) -> None:
        self._path = path
        self._database = database
        self._first = _name(1, language)
        self._lock = threading.Lock()
        self._opened: tuple[str, Bm25] | None = None
        with database.reading() as connection:
            self.tombstone = int(_meta(connection, "buried", "0"))
            """seq of the newest tombstone that BM25 has applied."""

    def current(self) -> Bm25:
        """Raises DamagedIndexError."""
        with self._database.reading() as connection:
            name = _meta(connection, "bm25", self._first)
        with self._lock:
            if self._opened is None or self._opened[0] != name:
                self._opened = name, Bm25(self._path / name, _language(name))
            return self._opened[1]

    def directory(self) -> Path:
        with self._database.reading() as connection:
            return self._path / _meta(connection, "bm25", self._first)

    def is_behind(self) -> bool:
        """Whether it lacks chunks of SQLite, is damaged, or has the terms of an older analyzer."""
        with self._database.reading() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
        try:
            held = self.current().newest()
            return int(newest) > held or (held > 0 and self._is_of_older_analyzer())
        except DamagedIndexError:
            return True

    def catch_up(self) -> None:
        """Bring it up to date with SQLite; one that is damaged, or of an older analyzer, is rebuilt. By the writer."""
        try:
            bm25 = self.current()
            if self._is_of_older_analyzer():
                self._renew(bm25)
                return
            with self._database.reading() as connection:
                self.tombstone = bm25.catch_up(connection, self.tombstone)
        except DamagedIndexError as exc:
            log.warning("rebuilding BM25: %s", exc)
            self.rebuild()

    def _is_of_older_analyzer(self) -> bool:
        with self._database.reading() as connection:
            return _meta(connection, "analyzer", "1") != VERSION

    def _renew(self, bm25: Bm25) -> None:
        """Build the index of an older analyzer again; one that is still empty is only marked as new."""
        if bm25.newest():
            log.info("building BM25 again: its analyzer has changed")
            self.rebuild()
            return
        with self._database.reading() as connection:
            self.tombstone = bm25.catch_up(connection, self.tombstone)
        with self._database.writing() as connection:
            _set_meta(connection, "analyzer", VERSION)

    def rebuild(self, language: str | None = None) -> None:
        """Build it again from SQLite, in the same or another language. By the writer."""
        with self._database.reading() as connection:
            old = _meta(connection, "bm25", self._first)
        name = _name(int(old.split("-")[1]) + 1, language or _language(old))
        shutil.rmtree(self._path / name, ignore_errors=True)
        fresh = Bm25(self._path / name, _language(name))
        with self._database.reading() as connection:
            self.tombstone = fresh.catch_up(connection, 0)
        with self._database.writing() as connection:
            _set_meta(connection, "bm25", name)
            _set_meta(connection, "analyzer", VERSION)
            self.save_tombstone(connection)
        self.close_writer()
        with self._lock:
            self._opened = name, fresh
        shutil.rmtree(self._path / old, ignore_errors=True)

    def save_tombstone(self, connection: sqlite3.Connection) -> None:
        """If this is not saved, the same tombstones are applied once more, which does no harm."""
        _set_meta(connection, "buried", str(self.tombstone))

    def close_writer(self) -> None:
        """Stop tantivy's writer and its merges."""
        with self._lock:
            if self._opened is not None:
                self._opened[1].close_writer()

    def close(self) -> None:
        """Wait for tantivy's merges, and close."""
        with self._lock:
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
