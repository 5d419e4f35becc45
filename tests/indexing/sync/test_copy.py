"""Collections from one place to another, and back: the same documents, chunks and answers, nothing embedded."""

import math
from contextlib import closing
from pathlib import Path

import pytest

from indexing.store.interface import DocumentStore, Stores
from indexing.store.local import LocalStores
from indexing.sync.rebuild import copy
from tests.indexing.made import MANIFEST, bulk, clustered, item, known, vector_of

WORDS = ("red", "green", "apples", "pears", "東京", "naïve")
FILTERS = {"type": "gt", "key": "number", "value": 3}


def filled(store: DocumentStore) -> None:
    store.put(bulk(clustered(600, 1)))
    texts = [f"{WORDS[n % 6]} {WORDS[n % 5]} {n}" for n in range(40)]
    store.put([item(f"words{n}", *texts[n : n + 4], metadata={"n": n, "ok": n > 8}) for n in range(0, 40, 4)])
    store.put([item("empty"), item('odd "id\\', "text\nof two lines", heading='A > "B"', metadata={'a "b': 1.5})])


def contents(store: DocumentStore) -> list[object]:
    """All but the numbers of chunks and the time, as any store gives it."""
    found: list[object] = []
    for row in store.documents(limit=1000)[0]:
        document, chunks, vectors = store.item(row.id) or pytest.fail(row.id)
        found.append((document, chunks, [vector.tobytes() for vector in vectors]))
    return found


def answers(store: DocumentStore) -> list[object]:
    dense = [store.search_dense(vector_of(f"question {n}"), 10, FILTERS if n % 2 else None) for n in range(20)]
    sparse = [store.search_sparse(word, 5) for word in WORDS]
    return [
        [(chunk.document_id, chunk.ordinal, chunk.metadata) for chunk in store.chunks([hit.chunk_id for hit in hits])]
        for hits in dense
    ] + [{math.isfinite(hit.score) and hit.score > 0 for hit in hits} for hits in sparse]


def test_a_round_trip_changes_nothing(tmp_path: Path, milvus_lite: Stores) -> None:
    here, there = LocalStores(tmp_path / "here"), milvus_lite
    with (
        closing(here.create_or_open("made", MANIFEST)) as source,
        closing(here.create_or_open("back", MANIFEST)) as back,
    ):
        filled(source)
        with closing(there.create_or_open("copy", MANIFEST)) as middle:
            assert list(copy(source, middle)) == [18]
            assert list(copy(source, middle)) == [18], "again, as after it was broken off"
            assert list(copy(middle, back)) == [18]
            assert contents(source) == contents(middle) == contents(back)
            assert answers(source) == answers(middle) == answers(back)
            assert known(source) == known(middle)
            assert source.stats() == middle.stats() == back.stats()
        assert back.verify() == []
    there.drop("copy")
