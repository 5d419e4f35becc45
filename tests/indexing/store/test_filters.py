from contextlib import closing

import pytest

from indexing.errors import FilterError
from indexing.store.interface import DocumentStore, Stores
from indexing.store.local import LocalStores
from tests.indexing.made import MANIFEST, item, vector_of


@pytest.fixture(scope="module", params=["local", "milvus"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    local = request.param == "local"
    stores: Stores = LocalStores(tmp_path_factory.mktemp("data")) if local else request.getfixturevalue("milvus_lite")
    with closing(stores.create_or_open("filters", MANIFEST)) as store:
        store.put(
            [
                item("a", "word one", metadata={"year": 2001, "tag": "x", "ok": True}),
                item("b", "word two", metadata={"year": 2010, "tag": "y", "ok": False}),
                item("c", "word three", metadata={"year": 2010.5, "tag": "x", "odd 'name\"": 1}),
                item("d", "word four", metadata={"year": "2010", "ok": 1}),
            ]
        )
        yield store
    stores.drop("filters")


def compare(operator: str, key: str, value: object) -> dict[str, object]:
    return {"type": operator, "key": key, "value": value}


CASES = [
    (compare("eq", "tag", "x"), "ac"),
    (compare("ne", "tag", "x"), "bd"),
    (compare("eq", "year", 2010), "b"),
    (compare("eq", "year", "2010"), "d"),
    (compare("gt", "year", 2001), "bc"),
    (compare("gte", "year", 2001), "abc"),
    (compare("lt", "year", 2010.5), "ab"),
    (compare("lte", "year", 2010.5), "abc"),
    (compare("eq", "ok", True), "a"),
    (compare("eq", "ok", 1), "d"),
    (compare("in", "ok", [True, 1]), "ad"),
    (compare("in", "year", [2001, "2010"]), "ad"),
    (compare("nin", "year", [2001, "2010"]), "bc"),
    (compare("in", "year", []), ""),
    (compare("nin", "year", []), "abcd"),
    (compare("eq", "odd 'name\"", 1), "c"),
    (compare("eq", "'; DROP TABLE documents; --", 1), ""),
    (compare("eq", "document_id", "b"), "b"),
    (compare("in", "document_id", ["b", "d"]), "bd"),
    (compare("in", "year", [*range(9_000), "2010"]), "abd"),
    (compare("eq", "tag", 'x" or "" == "'), ""),
    (compare("gt", "source", "/made/b.txt"), "cd"),
    (compare("nin", "title", ["A", "B"]), "cd"),
    ({"type": "and", "filters": [compare("eq", "tag", "x"), compare("gt", "year", 2005)]}, "c"),
    ({"type": "and", "filters": [compare("gte", "year", 2001), compare("lt", "year", 2010)]}, "a"),
    ({"type": "and", "filters": [compare("gte", "year", 2001), compare("lte", "year", "2010")]}, ""),
    ({"type": "and", "filters": [compare("gt", "source", "/made/a.txt"), compare("lt", "source", "/made/c.txt")]}, "b"),
    ({"type": "or", "filters": [compare("eq", "tag", "y"), compare("eq", "document_id", "d")]}, "bd"),
    (
        {"type": "and", "filters": [{"type": "or", "filters": [compare("eq", "tag", "x")]}, compare("ne", "ok", True)]},
        "c",
    ),
]


@pytest.mark.parametrize(("filters", "expected"), CASES)
def test_filters_leave_the_right_documents(store: DocumentStore, filters: dict[str, object], expected: str) -> None:
    for hits in (store.search_dense(vector_of("q"), 10, filters), store.search_sparse("word", 10, filters)):
        found = {chunk.document_id for chunk in store.chunks([hit.chunk_id for hit in hits])}
        assert found == set(expected)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"type": "like", "key": "a", "value": 1}, "'like'"),
        ({"key": "a", "value": 1}, "type"),
        ({"type": "eq", "value": 1}, "key"),
        ({"type": "eq", "key": "a", "value": None}, "None"),
        ({"type": "eq", "key": "a", "value": {"$gt": 1}}, "string"),
        ({"type": "eq", "key": "source", "value": 3}, "3"),
        ({"type": "in", "key": "a", "value": "abc"}, "list"),
        ({"type": "and", "filters": []}, "list of filters"),
        ({"type": "and", "filters": ["x"]}, "object"),
        ({"type": "eq", "key": "a", "value": 2**70}, "range"),
        ({"type": "eq", "key": "a", "value": "\ud800"}, "surrogate"),
        ({"type": "eq", "key": "\ud800", "value": "a"}, "a name in the metadata"),
        ({"type": "or", "filters": [compare("eq", "a", n) for n in range(1000)]}, "256"),
    ],
)
def test_filters_that_mean_nothing_are_refused(store: DocumentStore, filters: dict[str, object], words: str) -> None:
    with pytest.raises(FilterError, match=words) as caught:
        store.search_dense(vector_of("q"), 1, filters)
    assert caught.value.param == "filters"


def test_filters_nested_too_deep_are_refused(store: DocumentStore) -> None:
    filters: dict[str, object] = compare("eq", "a", 1)
    for _ in range(2000):
        filters = {"type": "and", "filters": [filters]}
    with pytest.raises(FilterError, match="deep"):
        store.search_sparse("word", 1, filters)
