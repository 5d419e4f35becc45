"""What a writer does on the side: give way to other processes, and merge segments."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.errors import IndexingError
from indexing.store.local.collection import CurrentGeneration
from indexing.store.local.dense.merge_process import MergeProcess
from indexing.store.local.dense.segment import SegmentRow
from indexing.store.local.generation import Generation
from indexing.store.lock import WriterLock, try_lock
from services.errors import RaglineError

log = logging.getLogger(__name__)

_LOCK_TIMEOUT_S = 60.0
_POLL_S = 0.1
_MERGE_AFTER_S = 3.0
_MERGING = "lock.merging"


class Writer:
    """The one that writes, of all threads and processes."""

    def __init__(self, path: Path, current: CurrentGeneration, threads: int) -> None:
        self._path = path
        self._current = current
        self._mutex = threading.RLock()
        self._merge_process = MergeProcess(threads)
        self._closed = threading.Event()
        self._lock = WriterLock(path, self._closed)
        self._due = threading.Event()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def writing(self, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[Generation]:
        """This thread is the only writer. The lock is kept afterwards, until another process wants it."""
        with self._mutex:
            if self._closed.is_set():
                raise IndexingError(f"the store of {self._path} is closed")
            if not self._lock.held:
                self._lock.acquire(timeout_s)
            self._start()
            with self._current.using() as generation:
                yield generation

    def schedule_merges(self) -> None:
        """In the background: left by a process that ended, as `ragline index` does."""
        with self._current.using() as generation:
            if generation.next_merge(whole=False) is not None:
                self._start()
                self._due.set()

    def catch_up(self, generation: Generation) -> None:
        """After a commit."""
        generation.catch_up()
        self._due.set()

    def run_merges(self) -> None:
        """Do all merges that are due."""
        while self.merge():
            pass

    def merge(self, *, whole: bool = False) -> bool:
        """One merge, if one is due; waits for those of others. Whether there was one. Raises IndexingError."""
        with self._merging() as generation:
            merge = generation.next_merge(whole=whole)
            if merge is None:
                return False
            result = self._merge_process.run(merge.task)
            with self.writing() as now:
                return now is generation and generation.install(merge, result)

    def rebuild(self, row: SegmentRow) -> None:
        """Build one segment anew."""
        with self.exclusive() as generation:
            merge = generation.merge_of([row])
            generation.install(merge, self._merge_process.run(merge.task))

    @contextmanager
    def exclusive(self) -> Iterator[Generation]:
        """As writing(), and nobody merges."""
        with self._merging(), self.writing() as generation:
            yield generation

    @contextmanager
    def _merging(self) -> Iterator[Generation]:
        """Nobody else merges. Takes its time: a merge of millions takes minutes."""
        while True:
            with try_lock(self._path / _MERGING) as free:
                if free:
                    with self._current.using() as generation:
                        yield generation
                    return
            if self._closed.wait(_POLL_S):
                raise IndexingError(f"the store of {self._path} is closed")

    def close(self) -> None:
        """With the store; a merge that is under way is given up."""
        self._closed.set()
        self._due.set()
        self._merge_process.stop()
        for thread in self._threads:
            thread.join()
        with self._mutex:
            self._current.close()
            self._lock.release()

    def _start(self) -> None:
        with self._mutex:
            if not self._threads and not self._closed.is_set():
                loops: list[tuple[str, Callable[[], None]]] = [("lock", self._yield_lock), ("merges", self._merge_loop)]
                self._threads = [
                    threading.Thread(target=loop, name=f"index-{name}", daemon=True) for name, loop in loops
                ]
                for thread in self._threads:
                    thread.start()

    def _yield_lock(self) -> None:
        while not self._closed.wait(_POLL_S):
            with self._mutex:
                if self._lock.held and self._lock.is_wanted():
                    with self._current.using() as generation:
                        generation.sparse.close_writer()
                    self._lock.release()

    def _merge_loop(self) -> None:
        """Not in the first seconds: a process that only asks one question has better to do."""
        self._closed.wait(_MERGE_AFTER_S)
        while self._due.wait() and not self._closed.is_set():
            self._due.clear()
            try:
                while self.merge():
                    pass
            except (RaglineError, OSError, ValueError) as exc:
                if not self._closed.is_set():
                    log.warning("merging of %s is put off: %s", self._path, exc)
