"""What holds for every store: on this machine, and in Milvus (Milvus Lite)."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from indexing.document import passage
from indexing.errors import (
    CollectionNameError,
    IndexMismatchError,
    InvalidDocumentError,
    UnknownCollectionError,
    UnknownJobError,
)
from indexing.store.interface import DocumentStore, Stores, text_hash
from tests.indexing.made import MANIFEST, item, known, vector_of

NAME = "default"


@pytest.fixture
def store(stores: Stores):
    with closing(stores.create_or_open(NAME, MANIFEST)) as store:
        yield store


def dense(store: DocumentStore, text: str, k: int = 3, **kwargs):
    return [
        chunk.text for chunk in store.chunks([hit.chunk_id for hit in store.search_dense(vector_of(text), k, **kwargs)])
    ]


def sparse(store: DocumentStore, text: str, k: int = 10, **kwargs):
    return [chunk.text for chunk in store.chunks([hit.chunk_id for hit in store.search_sparse(text, k, **kwargs)])]


def test_what_was_put_is_found_both_ways(store: DocumentStore) -> None:
    store.put([item("a", "red apples", "green pears"), item("b", "blue plums")])
    assert dense(store, "green pears", 1) == ["green pears"]
    assert store.search_dense(vector_of("green pears"), 1)[0].score == pytest.approx(1.0, abs=1e-6)
    assert sparse(store, "plum") == ["blue plums"]  # stemmed
    assert sparse(store, "the") == []


def test_dense_search_gives_the_order_of_the_inner_products(store: DocumentStore) -> None:
    texts = [f"text {n}" for n in range(300)]
    store.put([item(f"d{n}", *texts[n : n + 10]) for n in range(0, 300, 10)])
    query = vector_of("a question")
    scores = np.array([vector_of(text) for text in texts]) @ query
    expected = [texts[at] for at in np.argsort(-scores)[:20]]
    assert dense(store, "a question", 20) == expected
    assert [hit.score for hit in store.search_dense(query, 20)] == pytest.approx(sorted(scores)[::-1][:20], abs=1e-6)


def test_a_stored_chunk_carries_what_a_citation_needs(store: DocumentStore) -> None:
    store.put([item("a", "one", "two words", metadata={"year": 2020, "tag": "x"}, heading="A > B")])
    (hit,) = store.search_sparse("words", 5)
    (chunk,) = store.chunks([hit.chunk_id])
    assert (chunk.document_id, chunk.ordinal, chunk.text, chunk.heading) == ("a", 1, "two words", "A > B")
    assert (chunk.source, chunk.title, chunk.metadata) == ("/made/a.txt", "A", {"year": 2020, "tag": "x"})
    assert store.text("a", chunk.start, chunk.end) == "two words"


def test_put_replaces_a_document_whole(store: DocumentStore) -> None:
    store.put([item("a", "red apples", "green pears"), item("b", "blue plums")])
    before = [chunk.id for chunk in store.document_chunks("a")]
    store.put([item("a", "yellow lemons")])
    assert dense(store, "red apples", 10) != ["red apples"]
    assert sparse(store, "apples") == []
    assert sparse(store, "lemons") == ["yellow lemons"]
    assert store.chunks(before) == []
    assert store.stats().chunks == 2
    assert not {chunk.id for chunk in store.document_chunks("a")} & set(before)


def test_a_put_that_fails_leaves_all_as_it_was(store: DocumentStore) -> None:
    store.put([item("a", "red apples")])
    document, chunks, vectors = item("b", "blue plums")
    with pytest.raises(InvalidDocumentError, match="length"):
        store.put([item("a", "changed"), (document, chunks, vectors * 2)])
    assert dense(store, "x") == ["red apples"]
    assert store.document("b") is None


def test_delete_and_move(store: DocumentStore) -> None:
    store.put([item("a", "red apples"), item("b", "blue plums")])
    assert store.move("b", "/elsewhere/b.txt")
    assert not store.move("c", "/x")
    assert store.delete(["a", "a", "zz"]) == 1
    assert known(store) == {"/elsewhere/b.txt": ("b", item("b", "blue plums")[0].content_hash)}
    assert dense(store, "red apples") == ["blue plums"]
    assert store.chunks([hit.chunk_id for hit in store.search_sparse("plums", 1)])[0].source == "/elsewhere/b.txt"


def test_what_is_known_is_looked_up_by_file_content_and_id(store: DocumentStore) -> None:
    files = {
        "a": "/d/a.jsonl",
        "b": "/d/a.jsonl#record=1",
        "c": "/d/a.jsonl#record=é",
        "d": "/d/a.jsonl2",
        "e": '/d/"%_',
    }
    store.put([item(identity, f"text {identity}", source=source) for identity, source in files.items()])
    store.put([item("f", "text a", source="/other"), item("e", "text new", source='/d/"%_')])
    every = known(store)
    hash_of_a = item("x", "text a")[0].content_hash

    def sources(**asked: object) -> set[str]:
        found = store.known(**asked)
        assert {(row.source, (row.id, row.content_hash)) for row in found} <= every.items()
        return {row.source for row in found}

    assert sources(files=["/d/a.jsonl"]) == {files["a"], files["b"], files["c"]}
    assert sources(files=["/d/a.jsonl", files["e"], "/nowhere"]) == {files["a"], files["b"], files["c"], files["e"]}
    assert sources(hashes=[hash_of_a]) == {files["a"], "/other"}
    assert sources(hashes=[item("x", "text e")[0].content_hash]) == set(), "it was replaced"
    assert sources(ids=["b", "f", "zz"]) == {files["b"], "/other"}
    assert sources() == set()
    assert {row.source for row in store.known_below("/d/")} == set(files.values())
    assert list(store.known_below("/other/")) == []
    store.move("a", "/d2/a")
    assert {row.id for row in store.known_below("/d/")} == {"b", "c", "d", "e"}


def test_all_is_there_after_reopening(store: DocumentStore, stores: Stores) -> None:
    store.put([item("a", "red apples", metadata={"n": 1})])
    store.put([item("b", "blue plums")])
    store.delete(["b"])
    store.close()
    with closing(stores.open(NAME)) as again:
        assert again.manifest == MANIFEST
        assert dense(again, "x") == ["red apples"]
        assert sparse(again, "apple plum") == ["red apples"]


def test_another_reader_sees_each_commit(store: DocumentStore, stores: Stores) -> None:
    with closing(stores.open(NAME)) as reader:
        assert dense(reader, "x") == []
        store.put([item("a", "red apples")])
        assert dense(reader, "x") == sparse(reader, "apples") == ["red apples"]
        store.put([item("a", "green pears")])
        assert dense(reader, "x") == sparse(reader, "apples pears") == ["green pears"]
        store.delete(["a"])
        assert dense(reader, "x") == sparse(reader, "apples pears") == []


def test_searches_from_many_threads_while_one_writes(store: DocumentStore) -> None:
    stop = threading.Event()

    def search() -> int:
        rounds = 0
        while not stop.is_set():
            for text in dense(store, "some text", 5) + sparse(store, "text", 5):
                assert text.startswith("text")
            rounds += 1
        return rounds

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(search) for _ in range(8)]
        for n in range(30):
            store.put([item(f"d{n % 7}", f"text {n}", f"text {n} more")])
        stop.set()
        assert all(each.result() > 0 for each in running)
    assert store.stats().documents == 7


def test_the_vectors_of_known_texts_are_given_back(store: DocumentStore) -> None:
    store.put([item("a", "red apples", heading="Fruit")])
    known, unknown = text_hash(passage("Fruit", "red apples")), text_hash("red apples")
    found = store.vectors_for([known, unknown])
    assert list(found) == [known]
    np.testing.assert_array_equal(found[known], vector_of("red apples"))


@pytest.mark.parametrize("span", [(0, None), (16_380, 16_390), (16_384, 32_768), (40_000, 99_999), (5, 5), (7, 3)])
def test_text_is_cut_out_of_a_long_document(store: DocumentStore, span: tuple[int, int | None]) -> None:
    text = "".join(chr(97 + n % 26) if n % 11 else "ß" for n in range(50_000))
    store.put([item("a", text)])
    assert store.text("a", *span) == text[slice(*span)]
    assert store.text("b") == ""


def test_documents_come_in_pages(store: DocumentStore) -> None:
    store.put([item(f"d{n}", "x") for n in range(5)] + [item("empty")])
    seen, cursor = [], None
    while True:
        page, cursor = store.documents(cursor, 2)
        seen += [row.id for row in page]
        if cursor is None:
            break
    assert seen == ["d0", "d1", "d2", "d3", "d4", "empty"]


def test_a_job_whose_process_is_gone_is_shown_as_failed(stores: Stores) -> None:
    with closing(stores.create_or_open("killed", MANIFEST)) as store:
        upload = store.job_create("upload")
        (killed, held), (done, released) = (store.job_begin("index", 3, {}) for _ in range(2))
        assert [job.state for job in store.jobs()] == ["running"] * 3
        store.job_update(done, state="done")
        released.release()
        os.close(held._fd)  # as the system does when a process ends
        states = {job.id: job.state for job in store.jobs()}
        assert states == {upload: "running", killed: "failed", done: "done"}
        assert store.job(killed).message.startswith("interrupted")
        assert store.job(upload).state == "running", "the server takes it up when it starts"
        for odd in ("nope\0", "../" * 2000, "*"):
            with pytest.raises(UnknownJobError):
                store.job(odd)


def test_jobs(store: DocumentStore) -> None:
    job = store.job_create("sync", 3, {"paths": ["/a"]})
    store.job_update(job, done=1, chunks=4, failures=[("/a/b", "not a document")])
    store.job_update(job, done=3, state="done")
    found = store.job(job)
    assert (found.state, found.done, found.chunks, found.total) == ("done", 3, 4, 3)
    assert found.failures == (("/a/b", "not a document"),)
    assert found.params == {"paths": ["/a"]}
    assert [each.id for each in store.jobs()] == [job]
    with pytest.raises(UnknownJobError, match="nope"):
        store.job("nope")
    with pytest.raises(UnknownJobError):
        store.job_update("nope", done=1)


def test_a_store_that_was_built_otherwise_is_refused(store: DocumentStore, stores: Stores) -> None:
    wanted = replace(MANIFEST, embedding_model="other/model", dimension=8)
    with pytest.raises(IndexMismatchError) as caught:
        stores.create_or_open(NAME, wanted)
    for part in ("'made/embedder'", "'other/model'", "set these values back"):
        assert part in str(caught.value)


def test_vectors_of_another_dimension_are_refused(store: DocumentStore) -> None:
    document, chunks, vectors = item("a", "x")
    with pytest.raises(IndexMismatchError, match="8"):
        store.put([(document, chunks, vectors[:, :8])])
    with pytest.raises(IndexMismatchError, match="made/embedder"):
        store.search_dense(np.ones(8, np.float32), 1)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("id", "", "1 to 512"),
        ("text", "\ud800", "surrogate"),
        ("metadata", {"n": 2**80}, "64 bits"),
        ("metadata", {"n": float("nan")}, "finite"),
        ("metadata", {"n": ["list"]}, "string"),
        ("text", "other", "not the document's text"),
    ],
)
def test_documents_that_cannot_be_stored_are_refused(
    store: DocumentStore, field: str, value: object, words: str
) -> None:
    document, chunks, vectors = item("a", "x")
    with pytest.raises(InvalidDocumentError, match=words):
        store.put([(replace(document, **{field: value}), chunks, vectors)])


@pytest.mark.parametrize(
    "text", ['"', "a AND b OR (", "id:1", "*", "", "text:[a TO b]", "\x00", "plum" * 50_000, "a b " * 9_999]
)
def test_no_text_breaks_the_sparse_search(store: DocumentStore, text: str) -> None:
    store.put([item("a", "red apples")])
    assert sparse(store, text) == []


def test_unspaced_scripts_are_found(store: DocumentStore) -> None:
    store.put([item("a", "東京は大きい都市です"), item("b", "京都は古い")])
    assert sparse(store, "東京", 1) == ["東京は大きい都市です"]


def test_more_hits_are_asked_for_than_there_are_chunks(store: DocumentStore) -> None:
    assert store.search_dense(vector_of("x"), 100) == []
    store.put([item("a", "x", "y")])
    assert len(store.search_dense(vector_of("x"), 100)) == 2


def test_collections_are_listed_and_dropped(stores: Stores) -> None:
    for name in ("b", "a-1", "a_1", "a_chunks"):
        stores.create_or_open(name, MANIFEST).close()
    assert stores.names() == ["a-1", "a_1", "a_chunks", "b"]
    stores.drop("b")
    assert stores.names() == ["a-1", "a_1", "a_chunks"]
    for call in (stores.drop, stores.open):
        with pytest.raises(UnknownCollectionError, match="'b'"):
            call("b")


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "-a", ".a", "a" * 65, "a\n"])
def test_bad_names_of_collections_are_refused(stores: Stores, name: str) -> None:
    with pytest.raises(CollectionNameError):
        stores.create_or_open(name, MANIFEST)


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("german", "die Häuser der Städte", "haus"),
        ("french", "les chevaux galopent", "cheval galope"),
        ("arabic", "الكتب الجديدة", "كتب"),
        ("russian", "красивые города", "город"),
        ("none", "running shoes", "running"),
    ],
)
def test_languages(stores: Stores, language: str, text: str, query: str) -> None:
    with closing(stores.create_or_open("other", replace(MANIFEST, language=language))) as store:
        store.put([item("a", text)])
        assert sparse(store, query) == [text]


def test_an_unknown_language_is_refused(stores: Stores) -> None:
    with pytest.raises(IndexMismatchError, match="klingon"):
        stores.create_or_open("other", replace(MANIFEST, language="klingon"))
    assert stores.names() == []


def test_each_change_changes_the_version_and_nothing_else_does(store: DocumentStore, stores: Stores):
    if store.version() is None:
        assert "milvus" in type(store).__module__, "only Milvus has none"
        return
    seen = [store.version()]
    with closing(stores.open(NAME)) as other:
        for change in (
            lambda: store.put([item("a", "red apples")]),
            lambda: store.put([item("a", "red apples")]),
            lambda: other.put([item("b", "blue plums")]),
            lambda: store.move("a", "/moved/a.txt"),
            lambda: other.move("b", "/moved/b.txt"),
            lambda: other.delete(["b"]),
            lambda: store.delete(["a"]),
        ):
            change()
            store.search_dense(vector_of("red apples"), 3)
            assert store.version() == store.version()
            seen.append(store.version())
    assert len(set(seen)) == len(seen)
