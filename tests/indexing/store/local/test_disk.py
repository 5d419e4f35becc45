"""A disk that is full, and one that cannot be written to."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from indexing.errors import StorageError
from indexing.store.local import Store, collection_path
from tests.indexing.made import DIMENSION, MANIFEST, bulk, clustered, item, vector_of

PRIVATE_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]


def can_mount(tmp_path: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*PRIVATE_MOUNTS, f"mount -t tmpfs none {tmp_path}"], capture_output=True, check=False)
    return done.returncode == 0


def check_what_is_left(path: Path, printed: str) -> None:
    done, error, found, chunks = json.loads(printed)
    assert done > 500
    assert "make room" in error
    assert found == f"row {done - 1}"
    assert chunks == done
    with Store.open(path) as store:  # there is room again
        assert store.stats().chunks == done
        store.put([item("after", "red apples")])
        assert store.search_sparse("apples", 1)
        assert store.repair()[1] == []
        for row in (0, done - 1):
            assert store.search_sparse(f"row {row}", 1)


def test_a_file_that_may_not_grow_ends_a_write_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.indexing.store.local.full_disk_writer", str(tmp_path), "3000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    check_what_is_left(collection_path(tmp_path, "default"), done.stdout)


def test_a_full_disk_ends_a_write_and_loses_nothing(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("no right to mount a small file system")
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=12m none {small};"
        f" {sys.executable} -m tests.indexing.store.local.full_disk_writer {small} 0; cp -r {small} {kept}"
    )
    done = subprocess.run([*PRIVATE_MOUNTS, script], capture_output=True, text=True, check=True, timeout=120)
    check_what_is_left(collection_path(kept, "default"), done.stdout)


COMPACT = """
import resource, sys
from pathlib import Path
from indexing.errors import StorageError
from indexing.store.local import Store
with Store.open(Path(sys.argv[1])) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        store.compact()
    except StorageError as exc:
        print(exc)
"""


@pytest.mark.parametrize("missing", [100, 100_000])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_full_disk_ends_a_merge_with_a_sentence(tmp_path: Path, *, missing: int, sealed: bool) -> None:
    """FAISS writes in blocks: where only the last one is missing, too."""
    path = collection_path(tmp_path, "default")
    with Store.create_or_open(path, MANIFEST) as store:
        store.put(bulk(clustered(9000, 1)))
        if not sealed:
            store.put(bulk(clustered(5000, 2), 9000))
        size = store.info().segments[0].bytes if sealed else 5000 * (DIMENSION + 8)
        store.delete(["bulk00001"])
    limit = size - missing - 100 * (DIMENSION + 8)
    done = subprocess.run(
        [sys.executable, "-c", COMPACT, path, str(limit)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "faiss cannot be written: File too large. Nothing of this write is kept" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    with Store.open(path) as store:
        assert list((path / "g000001" / "vectors").glob("*.new")) == []
        assert store.verify() == []
        store.compact()
        assert store.info().dead == 0


READ = """
import sys
from pathlib import Path
from indexing.errors import StorageError
from indexing.store.local import Store
from tests.indexing.made import item, vector_of
with Store.open(Path(sys.argv[1])) as store:
    ids = [store.search_dense(vector_of("red apples"), 1)[0].chunk_id, store.search_sparse("apples", 1)[0].chunk_id]
    print([chunk.text for chunk in store.chunks(ids)])
    for write in (lambda: store.put([item("b", "x")]), lambda: store.job_create("sync")):
        try:
            write()
        except StorageError as exc:
            print(exc)
"""


@pytest.mark.parametrize("closed", [True, False])
def test_an_index_that_cannot_be_written_to_is_searched(tmp_path: Path, *, closed: bool) -> None:
    if not can_mount(tmp_path):
        pytest.skip("no right to mount")
    path = collection_path(tmp_path, "default")
    store = Store.create_or_open(path, MANIFEST)
    store.put([*bulk(clustered(9000, 1)), item("a", "red apples")])
    if closed:
        store.close()
    script = f"mount --bind {path} {path}; mount -o remount,bind,ro {path}; {sys.executable} -c '{READ}' {path}"
    done = subprocess.run([*PRIVATE_MOUNTS, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "['red apples', 'red apples']"
    assert len(lines) == 3
    assert all("cannot be" in line for line in lines[1:])
    if not closed:
        store.close()


def test_a_collection_is_not_made_where_nothing_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="is a file, where a folder is needed"):
        Store.create_or_open(collection_path(tmp_path, "default"), MANIFEST)
    assert vector_of("x").any()
