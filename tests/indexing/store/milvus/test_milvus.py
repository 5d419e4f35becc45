"""What only the store in Milvus has to do: several writers without a lock, and writers that die."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from indexing.errors import DamagedIndexError, IndexMismatchError, InvalidDocumentError
from indexing.settings import IndexingSettings, IndexSettings, MilvusSettings
from indexing.store.interface import Stores
from indexing.store.open import stores_of
from indexing.sync.indexer import Indexer, manifest_of
from services.errors import UnavailableError
from tests.indexing.made import MANIFEST, item, known, vector_of

pytest.importorskip("milvus_lite", reason="the Milvus store is not tested: pip install -r requirements/milvus.txt")

from indexing.store.milvus import MilvusStores
from indexing.store.milvus.schema import Names, dense
from indexing.store.milvus.store import MilvusStore
from indexing.store.milvus.versions import age_s, is_move, move_number, next_number

NAME = "milvus-only"


class KilledError(Exception):
    pass


class Writing:
    """A client that tells of each write before it is made."""

    def __init__(self, client, writes: int) -> None:
        self._client = client
        self._left = writes

    def __getattr__(self, name: str):
        return getattr(self._client, name)

    def upsert(self, *args) -> None:
        self._write()
        self._client.upsert(*args)

    def delete(self, *args) -> None:
        self._write()
        self._client.delete(*args)


class Dying(Writing):
    """A client whose process ends before it writes for the n-th time."""

    def _write(self) -> None:
        if not self._left:
            raise KilledError
        self._left -= 1


@pytest.fixture
def store(milvus_lite: Stores) -> Iterator[MilvusStore]:
    store = milvus_lite.create_or_open(NAME, MANIFEST)
    assert isinstance(store, MilvusStore)
    with store:
        yield store
    milvus_lite.drop(NAME)


def another(store: MilvusStore, client) -> MilvusStore:
    """As another process has it."""
    return MilvusStore(NAME, client, store._names, MANIFEST, store._jobs)


def found(store: MilvusStore) -> set[str]:
    """All texts that any search or listing gives; they have to agree."""
    dense_hits = {chunk.text for chunk in store.chunks([h.chunk_id for h in store.search_dense(vector_of("x"), 50)])}
    sparse_hits = {chunk.text for chunk in store.chunks([h.chunk_id for h in store.search_sparse("word", 50)])}
    listed = {chunk.text for row in store.documents()[0] for chunk in store.document_chunks(row.id)}
    assert dense_hits == sparse_hits == listed
    return listed


OLD = {"word old 1", "word old 2", "word kept"}
NEW = {"word new", "word kept"}


@pytest.mark.parametrize("writes", range(7))
def test_a_writer_may_die_anywhere_in_a_replacement(store: MilvusStore, writes: int) -> None:
    store.put([item("a", "word old 1", "word old 2"), item("b", "word kept")])
    dying = another(store, Dying(store._client, writes))
    with suppress(KilledError):
        dying.put([item("a", "word new")])
    assert found(store) == (OLD if writes < 3 else NEW)
    assert store.text("a") == ("word old 1\n\nword old 2" if writes < 3 else "word new")
    assert len(known(store)) == 2
    store.put([item("a", "word newest")])
    assert found(store) == {"word newest", "word kept"}
    unfinished = 1 if writes in {1, 2} else 0  # whose row is missing: no other writer knows that nobody writes it
    assert store.stats().chunks == 2 + unfinished


@pytest.mark.parametrize("writes", range(4))
def test_a_writer_may_die_anywhere_in_a_deletion(store: MilvusStore, writes: int) -> None:
    store.put([item("a", "word old 1", "word old 2"), item("b", "word kept")])
    dying = another(store, Dying(store._client, writes))
    with suppress(KilledError):
        dying.delete(["a"])
    assert found(store) == (OLD if writes < 1 else {"word kept"})


def test_of_two_writers_of_a_document_one_wins_whole(store: MilvusStore) -> None:
    store.put([item("a", "word old 1")])

    class Meanwhile(Dying):
        def _write(self) -> None:
            """The other puts the document just before this one's row is there."""
            self._left -= 1
            if self._left == 0:
                store.put([item("a", "word other 1", "word other 2")])

    slow = another(store, Meanwhile(store._client, 3))
    slow.put([item("a", "word slow")])
    assert found(store) == {"word other 1", "word other 2"}, "the later number wins, and nothing of it is removed"


def test_repair_removes_what_nobody_is_writing(store: MilvusStore) -> None:
    store.put([item("a", "word a"), item("b", "word b")])
    rows = store._client.query(store._names.chunks, 'document == "a"', ["*"])
    left = [{key: value for key, value in row.items() if key != "sparse"} | {"id": 1, "version": 5} for row in rows]
    store._client.upsert(store._names.chunks, left)
    assert found(store) == {"word a", "word b"}
    (problem,) = store.verify()
    assert problem.repairable
    assert "unfinished" in problem.text
    assert store.repair() == ([problem], [])
    assert store.stats().chunks == 2
    store._client.delete(store._names.chunks, 'document == "b"')
    _, (problem,) = store.repair()
    assert "'b' has 0 chunks, not 1" in problem.text


def test_repair_names_the_documents_of_which_nothing_is_left(store: MilvusStore) -> None:
    store.put([item("a", "word a"), item("b", "word b")])
    for document in ("a", "b"):
        rows = store._client.query(store._names.texts, f'document == "{document}"', ["*"])
        store._client.upsert(store._names.texts, [{**row, "key": f"x{document}", "version": 5} for row in rows])
    store.delete(["b"])
    (found,), left = store.repair()
    assert found.text == (
        "2 versions of documents are superseded or unfinished; nothing else is there of 'b': where that is missed,"
        " index its file again"
    )
    assert left == []


def test_the_jobs_of_a_dropped_collection_go_with_it(milvus_lite: Stores) -> None:
    for name in ("goes", "goes-not"):
        with milvus_lite.create_or_open(name, MANIFEST) as store:
            store.job_create("index")
    milvus_lite.drop("goes")
    for name, jobs in (("goes", 0), ("goes-not", 1)):
        with milvus_lite.create_or_open(name, MANIFEST) as store:
            assert len(store.jobs()) == jobs
        milvus_lite.drop(name)
    assert not list((milvus_lite._data_dir / "milvus").glob("goes*"))


def test_versions_are_numbered_past_a_clock_that_runs_ahead() -> None:
    ahead = next_number([]) + 10**15
    moved = move_number(ahead)
    assert ahead < moved < next_number([ahead])
    assert is_move(moved, [ahead])
    assert not is_move(next_number([ahead]), [ahead])
    assert -1 < age_s(next_number([])) < 1


class Interrupted(Writing):
    """A client that does something else before its n-th write."""

    def __init__(self, client, writes: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(client, writes)
        self._meanwhile = meanwhile

    def _write(self) -> None:
        self._left -= 1
        if self._left == -1:
            self._meanwhile()


@pytest.mark.parametrize("writes", range(3))
def test_a_deletion_spares_a_document_that_is_put_meanwhile(store: MilvusStore, writes: int) -> None:
    """The put has its number before the deletion begins, and writes its rows while that deletes."""
    store.put([item("a", "word old 1"), item("b", "word kept")])
    numbered, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        numbered.set()
        go_on.wait()

    slow = another(store, Interrupted(store._client, 0, wait))
    with ThreadPoolExecutor() as threads:
        putting = threads.submit(slow.put, [item("a", "word new 1", "word new 2")])
        numbered.wait()

        def finish_the_put() -> None:
            go_on.set()
            putting.result()

        try:
            assert another(store, Interrupted(store._client, writes, finish_the_put)).delete(["a"]) == 1
        finally:
            go_on.set()
        putting.result()
    assert found(store) == {"word new 1", "word new 2", "word kept"}
    assert store.text("a") == "word new 1\n\nword new 2"
    assert store.verify() == []


class InterruptedReading(Interrupted):
    """Does something else once it has read a text."""

    def query(self, name: str, *args, **kwargs):
        found = self._client.query(name, *args, **kwargs)
        if name.endswith("_texts"):
            self._write()
        return found


@pytest.mark.parametrize("writes", range(6))
@pytest.mark.parametrize("interrupted", [Interrupted, InterruptedReading])
def test_a_move_undoes_no_put(store: MilvusStore, interrupted: type[Interrupted], writes: int) -> None:
    store.put([item("a", "word old 1"), item("b", "word kept")])
    slow = another(store, interrupted(store._client, writes, lambda: store.put([item("a", "word new")])))
    assert slow.move("a", "/elsewhere/a.txt")
    assert found(store) == {"word new", "word kept"}
    assert set(known(store)) == {"/made/a.txt", "/made/b.txt"}


@pytest.mark.parametrize("writes", range(3))
def test_a_move_brings_no_deleted_document_back(store: MilvusStore, writes: int) -> None:
    store.put([item("a", "word old 1"), item("b", "word kept")])
    slow = another(store, Interrupted(store._client, writes, lambda: store.delete(["a"])))
    assert not slow.move("a", "/elsewhere/a.txt")
    assert found(store) == {"word kept"}
    assert store.stats().chunks == 1


@pytest.mark.parametrize("writes", range(3))
def test_a_deletion_deletes_what_is_moved_meanwhile(store: MilvusStore, writes: int) -> None:
    store.put([item("a", "word old 1"), item("b", "word kept")])
    mover = another(store, store._client)
    slow = another(store, Interrupted(store._client, writes, lambda: mover.move("a", "/elsewhere/a.txt")))
    assert slow.delete(["a"]) == 1
    assert found(store) == {"word kept"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Milvus Lite leaves a file open
def test_many_writers_at_once_leave_whole_documents(store: MilvusStore) -> None:
    def work(number: int) -> None:
        own = another(store, store._client)
        for n in range(6):
            own.put([item("a", f"word {number} {n} 1", f"word {number} {n} 2"), item("b", f"word b {number} {n}")])
            own.move("b", f"/moved/{number}/{n}")
            own.delete(["a"] if n % 2 else ["a", "c"])
        own.put([item(f"last{number}", f"word last {number}")])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert {f"word last {number}" for number in range(4)} <= found(store)
    assert [problem for problem in store.verify() if "versions" not in problem.text] == []


class Overtaken:
    """A client before whose every reading of chunks or texts another writer replaces the document."""

    def __init__(self, client, times: int, put: Callable[[int], None]) -> None:
        self._client = client
        self._left = times
        self._put = put

    def __getattr__(self, name: str):
        return getattr(self._client, name)

    def _overtake(self, name: str) -> None:
        if name.endswith(("_chunks", "_texts")) and self._left:
            self._left -= 1
            self._put(self._left)

    def query(self, name: str, *args, **kwargs):
        self._overtake(name)
        return self._client.query(name, *args, **kwargs)

    def pages(self, name: str, *args, **kwargs):
        self._overtake(name)
        return self._client.pages(name, *args, **kwargs)


READ = {
    "text": lambda store: store.text("a"),
    "item": lambda store: store.item("a")[0].text,
    "chunks": lambda store: "\n\n".join(chunk.text for chunk in store.document_chunks("a")),
    "move": lambda store: store.move("a", "/elsewhere/a.txt") and store.text("a"),
}


@pytest.mark.parametrize("read", READ)
def test_a_reader_that_is_overtaken_again_and_again_calls_nothing_damaged(store: MilvusStore, read: str) -> None:
    store.put([item("a", "word old 1", "word old 2")])
    client = Overtaken(store._client, 12, lambda n: store.put([item("a", f"word {n} 1", f"word {n} 2")]))
    assert READ[read](another(store, client)) == "word 0 1\n\nword 0 2"


@pytest.mark.parametrize("part", ["chunks", "texts"])
def test_a_lost_part_is_never_left_out(store: MilvusStore, part: str) -> None:
    store.put([item("a", "word a", "word b")])
    store._client.delete(getattr(store._names, part), 'document == "a"')
    with pytest.raises(DamagedIndexError, match="'a' has lost a part"):
        READ[part.rstrip("s") if part == "texts" else part](store)


class Counting:
    def __init__(self, client) -> None:
        self._client = client
        self.deletes = 0
        self.read: list[tuple[str, ...]] = []

    def __getattr__(self, name: str):
        return getattr(self._client, name)

    def delete(self, *args) -> None:
        self.deletes += 1
        self._client.delete(*args)

    def query(self, name: str, where: str, fields, *args, **kwargs):
        self.read.append(tuple(fields))
        return self._client.query(name, where, fields, *args, **kwargs)


def test_few_and_small_requests(store: MilvusStore) -> None:
    client = Counting(store._client)
    counted = another(store, client)
    counted.put([item("a", "word a"), item("b", "word b")])
    assert (client.deletes, len(client.read)) == (0, 1)
    client.read.clear()
    hits = counted.search_sparse("word", 5)
    assert client.read == [("document", "version")]
    assert len(counted.chunks([hit.chunk_id for hit in hits])) == 2
    assert not {"pages", "content_hash"} & {field for fields in client.read for field in fields}


@pytest.mark.parametrize("part", ["chunks", "texts"])
def test_a_document_that_lost_a_part_is_found_and_indexed_again(store: MilvusStore, part: str) -> None:
    store.put([item("a", "word a", "word b"), item("b", "word kept")])
    store._client.delete(getattr(store._names, part), 'document == "a"')
    with pytest.raises(DamagedIndexError, match="repair"):
        store.item("a")
    (problem,) = store.verify()
    assert problem.repairable
    _, (left,) = store.repair()
    assert (left.repairable, left.otherwise) == (False, "index its file again")
    assert known(store)["/made/a.txt"] == ("a", ""), "the next run takes its file for changed"
    store.put([item("a", "word a", "word b")])
    assert store.verify() == []


def test_the_file_of_jobs_appears_whole_and_once(milvus_lite: Stores) -> None:
    assert isinstance(milvus_lite, MilvusStores)
    together = threading.Barrier(8)

    def opened(name: str) -> int:
        together.wait()
        with closing(milvus_lite._jobs(name)) as database, database.reading() as connection:
            return len(connection.execute("SELECT * FROM jobs").fetchall())

    with ThreadPoolExecutor(8) as threads:
        for number in range(10):
            assert list(threads.map(opened, [f"race{number}"] * 8)) == [0] * 8
    assert not [path for path in (milvus_lite._data_dir / "milvus").iterdir() if path.is_dir()]


def test_what_milvus_cannot_hold_is_refused(store: MilvusStore) -> None:
    with pytest.raises(InvalidDocumentError, match="65535"):
        store.put([item("a", "é" * 40_000)])
    assert known(store) == {}


@pytest.mark.anyio
async def test_a_build_reports_what_milvus_cannot_hold_and_goes_on(milvus_lite: Stores, embed_server, tmp_path) -> None:
    wide = {"_id": "wide", "text": "too much beside it", **{f"field{n}": "x" * 4000 for n in range(20)}}
    records = [{"_id": "a", "text": "before"}, wide, {"_id": "b", "text": "after"}]
    (tmp_path / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    client, settings = embed_server.client(), IndexSettings()
    with closing(milvus_lite.create_or_open("refusing", await manifest_of(client, settings))) as store:
        async with Indexer(store, client, settings) as builder:
            report = await builder.sync([tmp_path])
        assert {source.partition("#record=")[2] for source in known(store)} == {"a", "b"}
    milvus_lite.drop("refusing")
    await client.aclose()
    ((source, reason),) = [(failure.source, failure.reason) for failure in report.failures]
    assert source.endswith("#record=wide")
    assert "65535" in reason


@pytest.mark.parametrize(
    ("factory", "index"),
    [
        ("auto", ("AUTOINDEX", {})),
        ("Flat", ("FLAT", {})),
        ("HNSW32", ("HNSW", {"M": 32, "efConstruction": 200})),
        ("IVF4096,SQ8", ("IVF_SQ8", {"nlist": 4096})),
    ],
)
def test_factory_strings_have_counterparts(factory: str, index: tuple[str, dict[str, int]]) -> None:
    assert dense(factory) == index


@pytest.mark.parametrize("factory", ["PQ32", "IVF64,PQ8", "LSH", "", "HNSW"])
def test_others_are_refused(milvus_lite: Stores, factory: str) -> None:
    with pytest.raises(IndexMismatchError, match="no counterpart"):
        milvus_lite.create_or_open("other", replace(MANIFEST, vectors=factory))
    assert "other" not in milvus_lite.names()


def test_names_are_told_apart() -> None:
    assert len({Names.of("p_", name) for name in ("a-b", "a_b", "ab", "a_chunks", "a")}) == 5


def test_a_milvus_that_is_away_is_named(tmp_path: Path) -> None:
    settings = IndexingSettings(data_dir=tmp_path, milvus=MilvusSettings(uri="http://127.0.0.1:9", timeout_s=1))
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9.*start it, or set milvus\.uri"):
        stores_of(settings, "milvus")


def test_all_is_there_in_another_process(tmp_path: Path) -> None:
    settings = IndexingSettings(data_dir=tmp_path, milvus=MilvusSettings(uri=str(tmp_path / "lite.db")))
    for text in ("word once", "word twice"):
        with closing(stores_of(settings, "milvus")) as stores, closing(stores.create_or_open("c", MANIFEST)) as store:
            store.put([item(text, text)])
    with closing(stores_of(settings, "milvus")) as stores, closing(stores.open("c")) as store:
        assert len(store.search_sparse("word", 5)) == len(known(store)) == 2
