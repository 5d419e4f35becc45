"""What only the store on this machine has to do; ../test_interface.py has what holds for every store."""

import subprocess
import sys
from pathlib import Path

import pytest

from indexing.errors import DamagedIndexError
from indexing.store.local import Store, collection_path
from tests.indexing.made import MANIFEST, item, vector_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return collection_path(tmp_path, "default")


@pytest.fixture
def store(path: Path):
    with Store.create_or_open(path, MANIFEST) as store:
        yield store


def dense(store: Store, text: str, k: int = 3, **kwargs):
    return [
        chunk.text for chunk in store.chunks([hit.chunk_id for hit in store.search_dense(vector_of(text), k, **kwargs)])
    ]


def sparse(store: Store, text: str, k: int = 10, **kwargs):
    return [chunk.text for chunk in store.chunks([hit.chunk_id for hit in store.search_sparse(text, k, **kwargs)])]


def test_ids_are_not_used_again_after_the_newest_was_deleted(store: Store, path: Path) -> None:
    store.put([item("a", "one")])
    (old,) = store.document_chunks("a")
    store.delete(["a"])
    store.close()
    with Store.open(path) as again:
        again.put([item("b", "two")])
        assert again.document_chunks("b")[0].id > old.id


def test_the_newest_thousand_jobs_that_ended_are_kept(store: Store) -> None:
    running = store.job_create("index")
    for number in range(1003):
        job = store.job_create("index")
        store.job_update(job, state="done", done=number, failures=[("/a", "broken")])
    kept = store.jobs(2000)
    assert [job.done for job in kept] == [*range(1002, 1, -1), 0]
    assert kept[-1].id == running


def test_two_processes_take_turns_at_writing(store: Store, path: Path) -> None:
    store.put([item("a", "red apples")])
    code = (
        "import sys; from pathlib import Path; from indexing.store.local import Store\n"
        "from tests.indexing.made import item\n"
        "with Store.open(Path(sys.argv[1])) as store: store.put([item('b', 'blue plums')]); print(store.stats().chunks)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "2"
    store.put([item("c", "green pears")])
    assert sparse(store, "plums") == ["blue plums"]
    assert set(dense(store, "x")) == {"red apples", "blue plums", "green pears"}


def test_a_file_that_is_no_database_is_called_damaged(store: Store, path: Path) -> None:
    store.close()
    file = path / "g000001" / "store.sqlite3"
    for each in file.parent.glob("store.sqlite3-*"):
        each.unlink()
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(DamagedIndexError, match="restore"):
        Store.open(path)
