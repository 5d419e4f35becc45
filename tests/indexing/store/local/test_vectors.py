"""Segments: sealed from the buffer, merged by size, with deleted chunks and filters, for several readers."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexing.errors import IndexMismatchError
from indexing.store.local import Store, collection_path
from indexing.store.manifest import Manifest
from tests.indexing.made import MANIFEST, bulk, clustered

ROWS = 36_000
K = 100
VECTORS = clustered(ROWS, seed=1)
QUERIES = clustered(20, seed=2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collection_path(tmp_path_factory.mktemp("vectors"), "default")


@pytest.fixture(scope="module")
def store(path: Path):
    with Store.create_or_open(path, MANIFEST) as store:
        for first in range(0, ROWS, 9_000):
            store.put(bulk(VECTORS[first : first + 9_000], first))
        store.run_merges()
        yield store


def rows_found(store: Store, query: NDArray[np.float32], k: int = K, filters: dict | None = None) -> list[int]:
    hits = store.search_dense(query, k, filters)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    chunks = store.chunks([hit.chunk_id for hit in hits])
    assert len(chunks) == len(hits)
    return [int(chunk.text.removeprefix("row ")) for chunk in chunks]


def exact(query: NDArray[np.float32], rows: NDArray[np.int64], k: int = K) -> list[int]:
    return [int(row) for row in rows[np.argsort(-(VECTORS[rows] @ query))[:k]]]


def recall(store: Store, rows: NDArray[np.int64], filters: dict | None = None) -> float:
    shared = []
    for query in QUERIES:
        found, wanted = rows_found(store, query, filters=filters), exact(query, rows)
        assert len(found) == len(wanted)
        assert set(found) <= set(rows.tolist())
        shared.append(len(set(found) & set(wanted)) / len(wanted))
    return float(np.mean(shared))


def test_many_vectors_are_merged_into_ivf(store: Store) -> None:
    info = store.info()
    assert info.segments[0].factory.startswith("IVF")
    assert sum(row.chunks for row in info.segments) + info.tail == info.chunks == ROWS
    assert recall(store, np.arange(ROWS)) >= 0.98


def test_scores_are_those_of_the_stored_vectors(store: Store) -> None:
    (hit, *_) = store.search_dense(QUERIES[0], 5)
    (best,) = exact(QUERIES[0], np.arange(ROWS), 1)
    assert hit.score == pytest.approx(float(VECTORS[best] @ QUERIES[0]), abs=1e-6)


@pytest.mark.parametrize(("percent", "share"), [(0, 0.01), (49, 0.5)])
def test_a_filter_still_gives_all_that_are_asked_for(store: Store, percent: int, share: float) -> None:
    documents = np.arange(ROWS) // 100
    rows = np.flatnonzero(documents % 100 <= percent)
    assert len(rows) / ROWS == pytest.approx(share, rel=0.2)
    assert recall(store, rows, {"type": "lte", "key": "percent", "value": percent}) >= 0.98


def test_a_filter_of_documents_that_are_far_from_the_query(store: Store) -> None:
    far = np.argsort(VECTORS @ QUERIES[0])[:3000]
    numbers = sorted({int(row) // 100 for row in far})[:25]
    rows = np.flatnonzero(np.isin(np.arange(ROWS) // 100, numbers))
    assert recall(store, rows, {"type": "in", "key": "number", "value": numbers}) >= 0.98


def test_deleted_chunks_are_found_no_more_and_a_reader_sees_it(path: Path) -> None:
    with Store.open(path) as reader, Store.open(path) as writer:
        everything = np.arange(ROWS)
        assert recall(reader, everything) >= 0.98
        deleted = [f"bulk{number:05}" for number in range(0, ROWS // 100, 3)]
        writer.delete(deleted)
        live = everything[(everything // 100) % 3 != 0]
        assert recall(reader, live) >= 0.98
        assert recall(writer, live) >= 0.98
        writer.compact()
        info = writer.info()
        assert len(info.segments) == 1
        assert info.dead == info.tail == 0
        assert info.segments[0].chunks == len(live)
        assert recall(reader, live) >= 0.98
        assert writer.verify() == []
        for number in range(0, ROWS // 100, 3):  # they come back, under new ids
            writer.put(bulk(VECTORS[number * 100 : number * 100 + 100], number * 100))
        assert recall(reader, everything) >= 0.98


def test_a_new_segment_replays_no_tombstone(tmp_path: Path) -> None:
    path = collection_path(tmp_path, "default")
    with Store.create_or_open(path, MANIFEST) as store:
        store.put(bulk(VECTORS[:9_000]))
        deleted = {chunk.id for n in range(0, 20, 2) for chunk in store.document_chunks(f"bulk{n:05}")}
        store.delete([f"bulk{n:05}" for n in range(0, 20, 2)])
        with Store.open(path) as reader, reader._current.using() as generation:
            assert set(generation.dense.search(VECTORS[0], 9_000, None)).isdisjoint(deleted)
            with closing(sqlite3.connect(path / "g000001" / "store.sqlite3")) as connection, connection:
                assert connection.execute("DELETE FROM dead").rowcount == 10
            store.put(bulk(VECTORS[9_000:18_000], 9_000))
            found = set(generation.dense.search(VECTORS[0], 18_000, None))
            assert len(generation.dense.view().segments) == 2
            assert found.isdisjoint(deleted), "what was applied once is not read again"
            assert len(found) == 17_000


@pytest.mark.parametrize("factory", ["Flat", "HNSW32", "IVF64,SQ8", "IVF64,PQ8x4", "IVF32_HNSW8,Flat", "SQfp16"])
def test_factories(tmp_path: Path, factory: str) -> None:
    manifest = replace(MANIFEST, vectors=factory)
    with Store.create_or_open(collection_path(tmp_path, "other"), manifest) as store:
        store.put(bulk(VECTORS[:9000]))
        store.compact()
        (row,) = store.info().segments
        assert row.factory == factory
        store.put(bulk(VECTORS[9000:10_000], 9000))
        rows = np.arange(10_000)
        assert recall(store, rows) >= 0.9
        assert recall(store, rows[:100], {"type": "eq", "key": "number", "value": 0}) >= 0.9
        assert recall(store, rows[:3000], {"type": "lt", "key": "number", "value": 30}) >= 0.9
        store.delete([f"bulk{number:05}" for number in range(50)])
        assert recall(store, rows[5000:]) >= 0.9
        assert store.verify() == []


@pytest.mark.parametrize("factory", ["Nonsense", "LSH", "IVFx,Flat", "PQ8", "IVF64,PQ7"])
def test_factories_that_faiss_has_not_are_refused(tmp_path: Path, factory: str) -> None:
    with pytest.raises(IndexMismatchError, match=factory):
        Store.create_or_open(collection_path(tmp_path, "other"), replace(MANIFEST, vectors=factory))


@pytest.mark.parametrize("dimension", [384, 768, 1024, 4096])
def test_vectors_fill_their_pages(tmp_path: Path, dimension: int) -> None:
    vectors = np.eye(dimension, dtype=np.float32)[:380]
    with Store.create_or_open(tmp_path / "filled", Manifest(embedding_model="made", dimension=dimension)) as store:
        store.put(bulk(vectors))
        store.compact()
    (database,) = (tmp_path / "filled").rglob("*.sqlite3")
    assert database.stat().st_size < 1.25 * vectors.nbytes + 600_000
