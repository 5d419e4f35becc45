"""Locks among processes, by flock(2): they end with the process that holds them."""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.errors import IndexBusyError, StorageError, UnknownCollectionError

LOCK_TIMEOUT_S = 60.0
_POLL_S = 0.02


class WriterLock:
    """One process at a time writes to a collection. Not for several threads at once.

    The holder keeps the lock until another process wants it: is_wanted() is true while one waits in acquire(), with a
    second file locked. So a server that adds a document now and then and `ragline index` write by turns.
    """

    def __init__(self, directory: Path, cancelled: threading.Event | None = None) -> None:
        """`cancelled` ends acquire() early."""
        self._cancelled = cancelled or threading.Event()
        self._path = directory / "lock"
        self._queue = directory / "lock.queue"
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def acquire(self, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Raises IndexBusyError, which names the process that holds the lock, UnknownCollectionError, StorageError."""
        until = time.monotonic() + timeout_s
        while self._fd is None:
            fd = _open(self._path)
            try:
                if not _try(fd):
                    self._wait(fd, until, timeout_s)
                if not _is_at(fd, self._path):  # the collection was deleted meanwhile, and perhaps made anew
                    _close(fd)
                    continue
                os.ftruncate(fd, 0)
                os.pwrite(fd, str(os.getpid()).encode(), 0)
            except BaseException as exc:
                _close(fd)
                if isinstance(exc, OSError) and exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise StorageError(f"{self._path} cannot be written: {exc.strerror}") from exc
                raise
            self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            _close(self._fd)
            self._fd = None

    def is_wanted(self) -> bool:
        fd = _open(self._queue)
        try:
            return not _try(fd)
        finally:
            _close(fd)

    def _wait(self, fd: int, until: float, timeout_s: float) -> None:
        queue = _open(self._queue)
        try:
            while not (_try(queue) and _try(fd)):
                if self._cancelled.wait(_POLL_S) or time.monotonic() > until:
                    holder = os.pread(fd, 32, 0).decode(errors="replace") or "unknown"
                    raise IndexBusyError(
                        f"process {holder} has been writing to {self._path.parent} for {timeout_s:g} s;"
                        " try again when it is done",
                        retry_after=5,
                    )
        finally:
            _close(queue)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Lock a file without waiting. Gives False where another process or thread has locked it."""
    fd = _open(path)
    try:
        yield _try(fd)
    finally:
        _close(fd)


class Lease:
    """A locked file, which is_abandoned() once the process ends without release()."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _open(path)
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # waits for is_abandoned(), which holds it for a moment

    def release(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        _close(self._fd)


def is_abandoned(path: Path) -> bool:
    """Whether the file of a lease is there and no process holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # released, or another user's
        return False
    try:
        return _try(fd, fcntl.LOCK_SH)
    finally:
        _close(fd)


class FolderInUse:
    """A folder that delete_unused() leaves, until release()."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError where it is gone, or being deleted."""
        self._fd = _open_folder(path)
        if not _try(self._fd, fcntl.LOCK_SH):
            os.close(self._fd)
            raise FileNotFoundError(errno.ENOENT, "deleted", str(path))

    def release(self) -> None:
        _close(self._fd)


def delete_unused(path: Path) -> None:
    """Delete a folder unless a process has it in use."""
    fd = _open_folder(path)
    try:
        if _try(fd):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        _close(fd)


def _open_folder(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as exc:
        raise UnknownCollectionError(f"{path.parent} is gone: its collection was deleted") from exc
    except OSError as exc:
        raise StorageError(f"{path} cannot be written: {exc.strerror}") from exc


def _close(fd: int) -> None:
    """Unlock and close: a child that was forked meanwhile has the file open, and would keep the lock."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _try(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
