import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexing.document import Chunk
from indexing.errors import IndexMismatchError
from indexing.store.interface import Item
from indexing.store.local import Store, collection_path
from indexing.store.manifest import Manifest
from tests.indexing.made import MANIFEST, OTHER, bulk, clustered, item, known, vector_of
from tests.indexing.store.local.test_crash import killed_at_each_step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = collection_path(tmp_path, "default")
    with Store.create_or_open(path, MANIFEST) as store:
        store.put([item("a", "red apples", "green pears"), item("b", "blue plums"), item("empty")])
    return path


def otherwise(store: Store, document_id: str) -> Item:
    """The document in one chunk, embedded in 8 dimensions."""
    found = store.item(document_id)
    assert found is not None
    document, _, _ = found
    if not document.text:
        return document, [], np.zeros((0, 8), np.float32)
    vector = vector_of(document.text)[:8]
    return document, [Chunk(0, document.text, 0, len(document.text), None, "")], vector[None] / np.linalg.norm(vector)


def catch_up(store: Store, successor: Store) -> None:
    lag = store.lag(successor)
    successor.put([otherwise(store, each) for each in lag.put])
    successor.delete(lag.delete)


def test_an_item_is_read_as_it_was_put(path: Path) -> None:
    with Store.open(path) as store:
        wanted, found = item("a", "red apples", "green pears"), store.item("a")
        assert found is not None
        assert found[:2] == wanted[:2]
        np.testing.assert_array_equal(found[2], wanted[2])
        assert store.item("zz") is None


def test_another_embedding_takes_the_place_of_the_live_index(path: Path) -> None:
    with Store.open(path) as store, Store.open(path) as reader:
        job = store.job_create("reindex")
        assert store.info().other_bytes == 0
        with store.successor(OTHER) as successor:
            assert set(store.lag(successor).put) == {"a", "b", "empty"}
            catch_up(store, successor)
            assert store.info().other_bytes > 1000
            store.put([item("b", "yellow lemons"), item("c", "new here")])  # written meanwhile
            store.move("a", "/moved")
            store.delete(["empty"])
            assert not store.promote(successor)
            assert (set(store.lag(successor).put), store.lag(successor).delete) == ({"a", "b", "c"}, ("empty",))
            catch_up(store, successor)
            assert len(reader.search_dense(vector_of("x"), 10)) == 4  # the live one, until it is swapped
            assert store.promote(successor)
        assert (path / "g000001").exists(), "the reader has it open"
        assert store.info().other_bytes > 1000
        for each in (store, reader):
            assert each.manifest == OTHER
            assert len(each.search_dense(vector_of("x")[:8], 10)) == 3
            assert each.chunks([each.search_sparse("apples", 1)[0].chunk_id])[0].text == "red apples\n\ngreen pears"
            assert each.job(job).kind == "reindex"
            assert known(each)["/moved"][0] == "a"
        assert not (path / "g000001").exists(), "neither of them has it open any longer"
        assert store.verify() == []
        store.put([(item("d", "x")[0], [Chunk(0, "x", 0, 1, None, "")], np.eye(8, dtype=np.float32)[:1])])
        assert reader.stats().documents == 4
    assert [each.name for each in path.iterdir() if each.is_dir()] == ["g000002"]


def test_a_job_that_is_noted_during_a_promotion_is_kept(path: Path) -> None:
    with Store.open(path) as store, Store.open(path) as other:
        long = store.job_create("index")
        store.job_update(long, failures=[(f"/made/{n}", "cannot be read") for n in range(20_000)])
        noted: list[str] = []
        promoted = threading.Event()

        def note() -> None:
            while not promoted.is_set():
                noted.append(other.job_create("index"))
                other.job_update(noted[-1], done=1, failures=[("/made/x", "cannot be read")])

        with store.successor(OTHER) as successor, ThreadPoolExecutor() as threads:
            catch_up(store, successor)
            noting = threads.submit(note)
            while not noted:
                time.sleep(0.01)
            try:
                assert store.promote(successor)
            finally:
                promoted.set()
            noting.result()
        assert store.manifest == OTHER
        assert {job.id for job in store.jobs(10_000) if job.done == len(job.failures) == 1} == set(noted)
        assert len(store.job(long).failures) == 20_000


def test_a_successor_goes_on_where_it_was_left(path: Path) -> None:
    with Store.open(path) as store:
        with store.successor(OTHER) as successor:
            successor.put([otherwise(store, "a")])
        with store.successor(OTHER) as successor:
            assert set(store.lag(successor).put) == {"b", "empty"}
        with store.successor(replace(OTHER, chunk_tokens=7)) as successor:  # another wish: anew
            assert set(store.lag(successor).put) == {"a", "b", "empty"}


@pytest.mark.parametrize("wish", [OTHER, replace(OTHER, chunk_tokens=7)], ids=["the same wish", "another"])
def test_a_promotion_may_be_killed_anywhere(path: Path, tmp_path: Path, wish: Manifest) -> None:
    with Store.open(path) as store, store.successor(OTHER) as successor:
        catch_up(store, successor)
    *killed, whole = killed_at_each_step("promote", path, tmp_path / "copies")
    assert len(killed) > 5
    for copy in (*killed, whole):
        with Store.open(copy) as store:
            assert store.manifest in {MANIFEST, OTHER}
            assert len(known(store)) == 3
            with store.successor(wish) as successor:
                catch_up(store, successor)
                assert store.promote(successor)
            assert store.manifest == wish
            assert store.verify() == []
    with Store.open(whole) as store:
        assert [each.name for each in whole.iterdir() if each.is_dir()] == ["g000003"]


def test_vectors_and_language_change_without_embedding(path: Path) -> None:
    with Store.open(path) as store, Store.open(path) as reader:
        store.put([*bulk(clustered(9000, 5)), item("c", "die Häuser der Städte")])
        assert reader.search_sparse("haus", 3) == []
        store.adopt(replace(MANIFEST, vectors="IVF32,Flat", language="german"))
        assert reader.manifest.language == "german"
        assert [row.factory for row in reader.info().segments] == ["IVF32,Flat"]
        for each in (store, reader):
            assert each.chunks([each.search_sparse("haus", 3)[0].chunk_id])[0].text == "die Häuser der Städte"
            assert each.search_sparse("die der", 3) == []  # stop words
        assert store.verify() == []
        with pytest.raises(IndexMismatchError, match="made/other"):
            store.adopt(OTHER)
        for wrong in ({"language": "klingon"}, {"vectors": "Nonsense"}):
            with pytest.raises(IndexMismatchError, match=next(iter(wrong.values()))):
                store.adopt(replace(MANIFEST, **wrong))
        assert store.manifest.language == "german"
