"""The writer's lock and the lease of a job: who holds them, who gets them, and when they end."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from indexing.errors import IndexBusyError, UnknownCollectionError
from indexing.store.local import LocalStores, Store, collection_path
from indexing.store.lock import Lease, WriterLock, is_abandoned
from tests.indexing.made import MANIFEST, item, known


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_the_lock_is_given_away_after_a_poll_that_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = collection_path(tmp_path, "default")
    queue = path / "lock.queue"
    with Store.create_or_open(path, MANIFEST) as store, Store.open(path) as other:
        with caplog.at_level(logging.WARNING):
            queue.mkdir()  # which no poll can open as a file
            store.put([item("a", "red apples")])
            until(lambda: "cannot be given away yet" in caplog.text)
        queue.rmdir()
        other.put([item("b", "blue plums")])
        assert store.stats().documents == 2


def test_one_that_waited_for_a_collection_that_was_deleted_does_not_write_beside_its_successor(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    folder.mkdir()
    deleting, waiting, successor = (WriterLock(folder) for _ in range(3))
    deleting.acquire()
    with ThreadPoolExecutor() as threads:
        waited = threads.submit(waiting.acquire, 1.0)
        until(deleting.is_wanted)
        folder.rename(tmp_path / "deleted")
        folder.mkdir()
        successor.acquire()
        deleting.release()
        with pytest.raises(IndexBusyError):
            waited.result()
    assert not waiting.held
    successor.release()
    waiting.acquire()
    assert waiting.held


def test_one_that_waited_for_a_collection_that_is_gone_is_told(tmp_path: Path) -> None:
    stores = LocalStores(tmp_path)
    with stores.create_or_open("default", MANIFEST) as store:
        stores.drop("default")
        with pytest.raises(UnknownCollectionError):
            store.put([item("a", "red apples")])


def test_collections_are_deleted_and_made_anew_by_many_at_once(tmp_path: Path) -> None:
    stores = LocalStores(tmp_path)
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait()
        for _ in range(10):
            try:
                if number % 2:
                    stores.drop("default")
                else:
                    with stores.create_or_open("default", MANIFEST) as store:
                        store.put([item(f"{number}", "red apples")])
                        assert f"/made/{number}.txt" in known(store)
            except UnknownCollectionError:  # another has deleted it
                pass

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    with stores.create_or_open("default", MANIFEST) as store:
        assert store.verify() == []
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["default"]


def test_a_released_lock_is_not_kept_by_a_child(tmp_path: Path) -> None:
    held, other = WriterLock(tmp_path), WriterLock(tmp_path)
    held.acquire()
    kept = os.dup(held._fd)  # as a child has it that was forked meanwhile
    held.release()
    other.acquire(0)
    assert other.held
    os.close(kept)


def test_a_job_runs_although_another_process_looks_at_the_moment_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)  # as is_abandoned() does
    with ThreadPoolExecutor() as threads:
        begun = threads.submit(Lease, path)
        os.close(looking)
        lease = begun.result()
    assert not is_abandoned(path)
    lease.release()
