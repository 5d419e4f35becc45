"""Connections to an SQLite file: one that writes, and a pool that reads, for any thread."""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

from indexing.errors import DamagedIndexError, IndexBusyError, IndexingError, IndexMismatchError, StorageError
from indexing.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, page_bytes

_BUSY_S = 30.0
_CACHE_KB = 8192
_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._version_reader: sqlite3.Connection | None = None
        self._immutable: tuple[int, int] | None = None
        """While the file is opened as immutable, as on a read-only disk: its modification time in ns, and its size."""
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._closed = False

    @classmethod
    def create(cls, path: Path, manifest: str, dimension: int) -> "Database":
        """Raises FileExistsError."""
        with path.open("xb"):
            pass
        database = cls(path)
        with storage_errors(path):
            connection = _connect(path, writes=True)
            connection.execute(f"PRAGMA page_size = {page_bytes(dimension)}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA}")
            _migrate(connection)
            connection.execute("INSERT INTO meta VALUES ('manifest', ?)", (manifest,))
            connection.execute("COMMIT")
        database._writer = connection
        return database

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Opens a file of this release, or brings one of an older release to it in one transaction.

        Raises IndexMismatchError for one of a newer release.
        """
        database = cls(path)
        with database.reading() as connection:
            version = _version(connection)
        if version > len(MIGRATIONS):
            database.close()
            raise IndexMismatchError(
                f"{path} has schema {version}, and this ragline knows up to {len(MIGRATIONS)}: use the ragline that"
                " made it, or index its files into another collection"
            )
        if version < len(MIGRATIONS):
            with database.writing() as connection:
                _migrate(connection)
        return database

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that reads: it sees one commit throughout."""
        with storage_errors(self.path):
            connection = self._acquire()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.rollback()
                self._release(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: durable when the context is left, rolled back on an error."""
        with storage_errors(self.path), self._write_lock:
            connection = self._writing_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    def execute(self, statement: str) -> None:
        """Run a statement outside of a transaction, such as VACUUM."""
        with storage_errors(self.path), self._write_lock:
            self._writing_connection().execute(statement)

    def back_up(self, to: Path) -> None:
        """Write what is committed to a new file. Writes go on meanwhile."""
        with storage_errors(to):
            with closing(_connect(self.path, writes=True)) as connection:
                connection.execute("VACUUM INTO ?", (str(to),))
            with closing(sqlite3.connect(to)) as copy:
                copy.execute("PRAGMA journal_mode = WAL")

    def data_version(self) -> tuple[int, ...]:
        """Changes with each commit, by any connection of any process."""
        with storage_errors(self.path), self._lock:
            self._drop_if_changed()
            if self._version_reader is None:
                self._version_reader = self._reader()
            (version,) = self._version_reader.execute("PRAGMA data_version").fetchone()
            return version, *(self._immutable or ())

    def _writing_connection(self) -> sqlite3.Connection:
        if self._closed:
            raise IndexingError(f"{self.path} is closed")
        if self._writer is None:
            self._writer = _connect(self.path, writes=True)
        return self._writer

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop_readers()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _acquire(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise IndexingError(f"{self.path} is closed")
            self._drop_if_changed()
            return self._idle.pop() if self._idle else self._reader()

    def _release(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _reader(self) -> sqlite3.Connection:
        try:
            return _connect(self.path, writes=False)
        except sqlite3.OperationalError:
            if os.access(self.path.parent, os.W_OK) or self._wal().exists():
                raise
        self._immutable = self._mtime_and_size()
        return _connect(self.path, writes=False, immutable=True)

    def _drop_if_changed(self) -> None:
        """Close connections that opened the file as immutable where it has changed after all."""
        if self._immutable is not None and (self._immutable != self._mtime_and_size() or self._wal().exists()):
            self._drop_readers()
            self._immutable = None

    def _drop_readers(self) -> None:
        connections, self._idle = [*self._idle, *filter(None, [self._version_reader])], []
        self._version_reader = None
        for connection in connections:
            connection.close()

    def _wal(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def _mtime_and_size(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    """Run the steps that the file lacks, within the caller's transaction."""
    for statement in chain.from_iterable(MIGRATIONS[_version(connection) :]):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _connect(path: Path, *, writes: bool, immutable: bool = False) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{'immutable=1' if immutable else 'mode=rw'}"
    # The pool and the lock of the writer let only one thread at a time use a connection.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        connection.execute("PRAGMA synchronous = FULL" if writes else "PRAGMA query_only = ON")
        connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raises errors of SQLite and the system as StorageError, DamagedIndexError or IndexBusyError."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        raise _translated(exc, path) from exc
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG}:
            raise StorageError(f"{path} cannot be written: {exc.strerror}. {_NOT_KEPT}") from exc
        raise


_NOT_KEPT = "Nothing of this write is kept: make room or give the right to write there, and try again"


def _translated(exc: sqlite3.DatabaseError, path: Path) -> Exception:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL:
        return StorageError(f"{path} cannot be used: {exc}. {_NOT_KEPT}")
    if code in _BROKEN:
        return DamagedIndexError(f"{path}: {exc}. Run `ragline index restore` with a snapshot")
    if code == sqlite3.SQLITE_BUSY:
        return IndexBusyError(f"{path}: another process has been writing for {_BUSY_S:g} s", retry_after=5)
    return exc
