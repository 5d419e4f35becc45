"""verify, repair, snapshot, restore: on files that are broken for real."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest

from indexing.errors import DamagedIndexError, StorageError, UnknownCollectionError
from indexing.store.local import Store, collection_path, recover, restore
from tests.indexing.made import MANIFEST, bulk, clustered, item, vector_of

VECTORS = clustered(9000, seed=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = collection_path(tmp_path, "default")
    with Store.create_or_open(path, MANIFEST) as store:
        store.put(bulk(VECTORS))
        store.put([item("extra", "red apples")])
        assert len(store.info().segments) == 1
    return path


def segment_file(path: Path) -> Path:
    (file,) = (path / "g000001" / "vectors").glob("*.faiss")
    return file


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, Path.unlink])
def test_a_broken_segment_is_found_and_built_anew(path: Path, damage: Callable[[Path], None]) -> None:
    damage(segment_file(path))
    with Store.open(path) as store:
        (problem,) = store.verify()
        assert problem.repairable
        assert "segment" in problem.text
        assert store.repair() == ([problem], [])
        assert store.verify() == []
        assert store.chunks([hit.chunk_id for hit in store.search_dense(VECTORS[5], 1)])[0].text == "row 5"


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_a_search_on_a_broken_segment_says_what_mends_it(path: Path, damage: Callable[[Path], None]) -> None:
    damage(segment_file(path))
    with Store.open(path) as store:
        with pytest.raises(DamagedIndexError, match="ragline index repair"):
            store.search_dense(VECTORS[0], 1)
        assert store.search_sparse("apples", 1)


@pytest.mark.parametrize("pattern", ["meta.json", "*.term", "*.idx", "*.fast", "*.fieldnorm", "*.store", "[!.]*"])
@pytest.mark.parametrize("damage", [flip_a_byte, truncate, Path.unlink])
def test_a_broken_bm25_is_found_and_built_anew(path: Path, pattern: str, damage: Callable[[Path], None]) -> None:
    for file in (path / "g000001" / "bm25-1-english").glob(pattern):
        damage(file)
    with Store.open(path) as store:
        store.repair()
        assert store.verify() == []
        assert store.chunks([store.search_sparse("apples", 1)[0].chunk_id])[0].text == "red apples"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM vectors WHERE id = 7", "without a vector"),
        ("DELETE FROM chunks WHERE id = 7", "not all there"),
        ("UPDATE chunks SET text = 'x' WHERE id = 7", "not its text"),
        ("UPDATE texts SET body = x'00'", "not readable"),
        ("UPDATE documents SET chars = 1", "characters"),
        ("UPDATE vectors SET vector = x'0000' WHERE id = 7", "another size"),
        ("INSERT INTO metadata VALUES ('a', 'n', 1, 99999)", "metadata"),
    ],
)
def test_verify_finds_what_contradicts_itself_in_sqlite(path: Path, sql: str, words: str) -> None:
    connection = sqlite3.connect(path / "g000001" / "store.sqlite3")
    with connection:
        connection.execute(sql)
    connection.close()
    with Store.open(path) as store:
        found = store.verify()
        assert any(words in problem.text and not problem.repairable for problem in found), found


def test_a_snapshot_brings_all_back(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store, Store.open(path) as reader:
        job = store.job_create("sync")
        store.snapshot(tmp_path / "kept")
        store.delete([row.id for row in store.documents(limit=1000)[0]])
        store.put([item("new", "something else")])
        assert reader.info().chunks == 1
        restore(tmp_path / "kept", path)
        for each in (store, reader):
            assert each.info().chunks == 9001
            assert each.job(job).kind == "sync"
            assert each.document("new") is None
            assert each.chunks([each.search_sparse("apples", 1)[0].chunk_id])[0].text == "red apples"
            assert each.chunks([each.search_dense(VECTORS[9], 1)[0].chunk_id])[0].text == "row 9"
        store.put([item("new", "written after")])
        assert reader.search_sparse("written", 1)
        assert store.verify() == []


def test_a_snapshot_makes_another_collection(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store:
        store.snapshot(tmp_path / "kept")
    copy = collection_path(tmp_path, "copy")
    restore(tmp_path / "kept", copy)
    with Store.open(copy) as store:
        assert store.verify() == []
        assert store.search_dense(vector_of("red apples"), 1)[0].score == pytest.approx(1, abs=1e-5)


def test_snapshots_that_are_not_whole_are_refused(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with Store.open(path) as store:
        store.snapshot(kept)
        with pytest.raises(StorageError, match="exists"):
            store.snapshot(kept)
    flip_a_byte(kept / "store.sqlite3")
    with pytest.raises(DamagedIndexError, match="changed"):
        restore(kept, path)
    (kept / "store.sqlite3").unlink()
    with pytest.raises(DamagedIndexError, match="lacks"):
        restore(kept, path)
    with pytest.raises(UnknownCollectionError, match="no snapshot"):
        restore(tmp_path, path)
    with Store.open(path) as store:
        assert store.info().chunks == 9001
        assert store.verify() == []


def ragline(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "indexing", *arguments]
    environment = os.environ | {"RAGLINE_DATA_DIR": str(data)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def command_in(message: str, **placeholders: str) -> list[str]:
    """The arguments of the command that a message names."""
    words = re.findall(r"`ragline index ([^`]+)`", message)[0].split()
    return [placeholders.get(word, word) for word in words]


@pytest.mark.parametrize("current", [None, b"g000009", b"../elsewhere\xff"])
def test_a_lost_or_broken_current_is_written_again_by_the_command_that_the_error_names(
    path: Path, tmp_path: Path, current: bytes | None
) -> None:
    file = path / "CURRENT"
    file.unlink() if current is None else file.write_bytes(current)
    for opened in (lambda: Store.open(path), lambda: Store.create_or_open(path, MANIFEST)):
        with pytest.raises(DamagedIndexError) as caught:
            opened()
    assert ragline(tmp_path, "info").returncode != 0
    done = ragline(tmp_path, *command_in(str(caught.value), SNAPSHOT=str(tmp_path / "none")))
    assert done.returncode == 0, done.stderr
    with Store.create_or_open(path, MANIFEST) as store:
        assert store.info().chunks == 9001
        assert store.verify() == []


def test_a_lost_database_is_restored_by_the_command_that_the_error_names(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store:
        store.snapshot(tmp_path / "kept")
    for file in (path / "g000001").glob("store.sqlite3*"):
        file.unlink()
    with pytest.raises(DamagedIndexError) as caught:
        Store.create_or_open(path, MANIFEST)
    done = ragline(tmp_path, *command_in(str(caught.value), SNAPSHOT=str(tmp_path / "kept")))
    assert done.returncode == 0, done.stderr
    with Store.create_or_open(path, MANIFEST) as store:
        assert store.info().chunks == 9001
        assert store.verify() == []


def test_what_a_killed_restore_or_creation_left_is_no_generation(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store:
        store.snapshot(tmp_path / "kept")
    for half in (".restored", ".new"):
        (path / half / "vectors").mkdir(parents=True)
        (path / half / "store.sqlite3").write_bytes(b"half")
    (path / "CURRENT").unlink()
    recover(path)
    restore(tmp_path / "kept", path)
    with Store.open(path) as store:
        assert store.info().chunks == 9001
    assert sorted(each.name for each in path.iterdir() if each.is_dir()) == [".new", "g000002"]


def test_a_snapshot_leaves_the_folders_beside_it_alone(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "kept.new"
    mine.mkdir()
    (mine / "diary.txt").write_text("dear diary")
    with Store.open(path) as store:
        store.snapshot(tmp_path / "kept")
    assert (mine / "diary.txt").read_text() == "dear diary"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["index", "kept", "kept.new"]


def stopped_in(function: str, call: Callable[[], object], meanwhile: Callable[[], object]) -> object:
    """The result of the call, which stops where it enters the function until something else is done."""
    entered, go_on = threading.Event(), threading.Event()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == function and not entered.is_set():
            entered.set()
            go_on.wait()

    def run() -> object:
        sys.setprofile(profile)
        try:
            return call()
        finally:
            sys.setprofile(None)
            entered.set()

    with ThreadPoolExecutor() as threads:
        running = threads.submit(run)
        entered.wait()
        try:
            assert not running.done(), f"{function} was not called"
            meanwhile()
        finally:
            go_on.set()
        return running.result()


def test_writes_go_on_beside_verify(path: Path) -> None:
    with Store.open(path) as store, Store.open(path) as other:

        def write() -> None:
            other.delete(["extra"])
            other.put([item("new", "something else"), *bulk(VECTORS, 9000)])
            store.put([item("newer", "and more")])

        assert stopped_in("_check_texts", store.verify, write) == []
        assert store.verify() == []


@pytest.mark.parametrize("function", ["copytree", "back_up", "read_segments"])
def test_writes_go_on_beside_a_snapshot(path: Path, tmp_path: Path, function: str) -> None:
    with Store.open(path) as store, Store.open(path) as other:

        def write() -> None:
            other.delete(["extra"])
            other.put([item("new", "something else"), *bulk(VECTORS, 9000)])
            store.put([item("newer", "and more")])

        stopped_in(function, lambda: store.snapshot(tmp_path / "kept"), write)
    copy = collection_path(tmp_path, "copy")
    restore(tmp_path / "kept", copy)
    with Store.open(copy) as store:
        assert store.verify() == []
        is_old = store.document("new") is None
        assert is_old == (function == "read_segments")
        assert store.info().chunks == (9001 if is_old else 18_002)
        assert len(store.search_sparse("apples else", 5)) == 1
        store.put([item("after", "red cherries")])
        assert store.search_sparse("cherries", 1)
        assert store.verify() == []
