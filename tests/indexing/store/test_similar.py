"""Resemblance by stored vectors: in the local store, and in Milvus Lite."""

from contextlib import closing

import numpy as np
import pytest

from indexing.store.interface import Stores
from indexing.store.similar import MAX_CHUNKS, similar
from tests.indexing.made import MANIFEST, item, vector_of


@pytest.fixture
def store(stores: Stores):
    with closing(stores.create_or_open("default", MANIFEST)) as store:
        yield store


def near(made, ordinal: int, cosine: float, of: str = ""):
    """The item with one vector turned away from that of a text, its own unless another is named."""
    document, chunks, vectors = made
    towards = vector_of(of or chunks[ordinal].text)
    aside = np.eye(len(towards), dtype=np.float32)[0]
    aside -= towards * (towards @ aside)
    vectors[ordinal] = cosine * towards + (1 - cosine**2) ** 0.5 * aside / np.linalg.norm(aside)
    return document, chunks, vectors


def found(store, identity: str, threshold: float = 0.95, **options):
    return {
        each.row.id: (round(each.share, 3), each.exact)
        for each in similar(store, identity, threshold=threshold, **options)
    }


def test_copies_are_found_whole_in_part_and_nearly(store):
    whole = item("a", "one", "two", "three", "four")
    store.put([
        whole,
        item("copy", "one", "two", "three", "four", source="/elsewhere/a.txt"),
        near(item("renamed", "one", "two", heading="renamed"), 0, 0.8),
        item("part", "two", "three"),
        near(item("nearly", "ONE", "two", "three", "five"), 0, 0.97, of="one"),
        item("other", "six", "seven"),
        item("empty"),
    ])  # fmt: skip
    assert found(store, "a", only_near=True) == {
        "copy": (1.0, True),
        "part": (0.5, False),
        "nearly": (0.75, False),
        "renamed": (0.5, False),
    }
    assert found(store, "a", 0.98, only_near=True)["nearly"] == (0.5, False)
    assert found(store, "part", only_near=True) == {
        "a": (1.0, False),
        "copy": (1.0, False),
        "nearly": (1.0, False),
        "renamed": (0.5, False),
    }
    assert found(store, "other", only_near=True) == {}
    assert found(store, "empty") == {}
    assert similar(store, "nobody", threshold=0.95) is None


def test_the_most_alike_come_first_and_a_score_is_the_mean_of_the_nearest_chunks(store):
    store.put([item("a", "one", "two"), near(item("b", "ONE"), 0, 0.9, of="one"), item("c", "one", "two", "extra")])
    first, second = similar(store, "a", threshold=0.95)
    assert (first.row.id, first.share, first.exact) == ("c", 1.0, False)
    assert (second.row.id, second.share) == ("b", 0)
    assert first.score == pytest.approx(1, abs=1e-3)
    of_two = float(store.item("b")[2][0] @ vector_of("two"))
    assert second.score == pytest.approx((0.9 + max(of_two, 0)) / 2, abs=1e-3)


def test_of_a_long_document_some_chunks_are_compared_to_its_end(store):
    texts = [f"part {n}" for n in range(3 * MAX_CHUNKS)]
    store.put([item("long", *texts), item("start", texts[0]), item("end", texts[-1])])
    assert found(store, "long", only_near=True) == {
        "start": (round(1 / MAX_CHUNKS, 3), False),
        "end": (round(1 / MAX_CHUNKS, 3), False),
    }


def test_what_was_deleted_resembles_nothing(store):
    store.put([item("a", "one"), item("b", "one")])
    assert found(store, "a") == {"b": (1.0, True)}
    store.delete(["b"])
    assert found(store, "a") == {}
