"""What writes to a collection: one process at a time, which also merges segments in the background."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.errors import IndexingError
from indexing.store.local.collection import CurrentGeneration
from indexing.store.local.dense.merge_process import MergeProcess
from indexing.store.local.dense.segment import SegmentRow
from indexing.store.local.generation import Generation
from indexing.store.lock import LOCK_TIMEOUT_S, WriterLock, try_lock
from services.errors import RaglineError

log = logging.getLogger(__name__)

_POLL_S = 0.1
_MERGE_AFTER_S = 3.0
_MERGING = "lock.merging"


class Writer:
    """For any thread."""

    def __init__(self, path: Path, current: CurrentGeneration, threads: int) -> None:
        """A merge runs on `threads` threads."""
        self._path = path
        self._current = current
        self._mutex = threading.RLock()
        self._merge_process = MergeProcess(threads)
        self._closed = threading.Event()
        self._lock = WriterLock(path, self._closed)
        self._due = threading.Event()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def writing(self, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[Generation]:
        """Make this thread the only writer of all processes. The lock is kept until another process wants it.

        Raises IndexBusyError after `timeout_s`.
        """
        with self._mutex:
            if self._closed.is_set():
                raise IndexingError(f"the store of {self._path} is closed")
            if not self._lock.held:
                self._lock.acquire(timeout_s)
            self._start_threads()
            with self._current.using() as generation:
                yield generation

    @contextmanager
    def exclusive(self) -> Iterator[Generation]:
        """As writing(), without a merge in any process meanwhile."""
        with self.merges_paused(), self.writing() as generation:
            yield generation

    def catch_up(self, generation: Generation) -> None:
        """After a commit: bring the indexes up to date, and schedule merges."""
        generation.catch_up()
        self._due.set()

    def schedule_merges(self) -> None:
        """Merge in the background what a process that ended, like `ragline index`, left to merge."""
        with self._current.using() as generation:
            if generation.next_merge(whole=False) is not None:
                self._start_threads()
                self._due.set()

    def run_merges(self) -> None:
        while self.merge():
            pass

    def merge(self, *, whole: bool = False) -> bool:
        """Do one merge, of all segments if `whole`. False where none is due. Raises IndexingError."""
        with self.merges_paused() as generation:
            merge = generation.next_merge(whole=whole)
            if merge is None:
                return False
            result = self._merge_process.run(merge.task)
            with self.writing() as now:
                return now is generation and generation.install(merge, result)

    def rebuild(self, row: SegmentRow) -> None:
        """Build a segment again from the stored vectors."""
        with self.exclusive() as generation:
            merge = generation.merge_of([row])
            generation.install(merge, self._merge_process.run(merge.task))

    @contextmanager
    def merges_paused(self) -> Iterator[Generation]:
        """No process merges within: segments may be added, and none is deleted. The generation is not replaced.

        Waits, without a limit, for a merge that runs: one of millions takes minutes.
        """
        while True:
            with try_lock(self._path / _MERGING) as free:
                if free:
                    with self._current.using() as generation:
                        yield generation
                    return
            if self._closed.wait(_POLL_S):
                raise IndexingError(f"the store of {self._path} is closed")

    def close(self) -> None:
        """Stop a merge that runs, and close the collection."""
        self._closed.set()
        self._due.set()
        self._merge_process.stop()
        for thread in self._threads:
            thread.join()
        with self._mutex:
            self._current.close()
            self._lock.release()

    def _start_threads(self) -> None:
        with self._mutex:
            if not self._threads and not self._closed.is_set():
                self._threads = [
                    threading.Thread(target=self._yield_lock, name="index-lock", daemon=True),
                    threading.Thread(target=self._merge_in_background, name="index-merges", daemon=True),
                ]
                for thread in self._threads:
                    thread.start()

    def _yield_lock(self) -> None:
        """Release the lock whenever another process waits for it. A try that fails is repeated."""
        failed = ""
        while not self._closed.wait(_POLL_S):
            try:
                with self._mutex:
                    if self._lock.held and self._lock.is_wanted():
                        with self._current.using() as generation:
                            generation.sparse.close_writer()
                        self._lock.release()
                failed = ""
            except (RaglineError, OSError, ValueError, sqlite3.Error) as exc:
                if str(exc) != failed and not self._closed.is_set():
                    log.warning("the writer's lock of %s cannot be given away yet: %s", self._path, exc)
                failed = str(exc)

    def _merge_in_background(self) -> None:
        """Not in the first seconds, in which a command that asks one question is done."""
        self._closed.wait(_MERGE_AFTER_S)
        while self._due.wait() and not self._closed.is_set():
            self._due.clear()
            try:
                self.run_merges()
            except (RaglineError, OSError, ValueError) as exc:
                if not self._closed.is_set():
                    log.warning("merging of %s is put off until the next write: %s", self._path, exc)
