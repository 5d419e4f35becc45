"""Unchanged, moved, replaced and gone, by what the store knows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from indexing.document import Document, document_id
from indexing.store.interface import DocumentStore
from indexing.store.local import Store
from indexing.sync.changes import KnownDocuments
from tests.indexing.made import MANIFEST, item


def document(source: str, content_hash: str = "new") -> Document:
    return Document(document_id(source), source, "t", "text", "text/plain", {}, (), content_hash)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create_or_open(tmp_path / "index/default", MANIFEST) as store:
        yield store


def put(store: DocumentStore, **sources: str) -> None:
    """Documents by id, all of them with the content hash "h"."""
    items = [item(identity, source=source) for identity, source in sources.items()]
    store.put([(replace(each, content_hash="h"), chunks, vectors) for each, chunks, vectors in items])


def test_moved_only_where_the_old_file_is_gone_and_only_once(store: Store, tmp_path: Path) -> None:
    stays = tmp_path / "stays.txt"
    stays.write_text("x")
    gone = str(tmp_path / "gone.txt")
    put(store, a=str(stays), b=gone, c="an upload.txt")
    known = KnownDocuments(store)
    (moved,) = known.take_moved({"/new.txt": "h"}).values()
    assert (moved.id, moved.source) == ("b", gone)
    assert known.take_moved({"/newer.txt": "h"}) == {}
    assert known.take_moved({"/newer.txt": "other"}) == {}


def test_equal_files_that_moved_are_taken_once_each_on_any_threads(store: Store) -> None:
    put(store, **{f"id{i}": f"/gone/{i}.txt" for i in range(2000)})
    known = KnownDocuments(store)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda i: known.take_moved({f"/new/{i}.txt": "h"}), range(2100)))
    ids = sorted(int(row.id[2:]) for each in taken for row in each.values())
    assert (ids, len(taken)) == (list(range(2000)), 2100)
    assert sum(source == row.source.replace("gone", "new") for each in taken for source, row in each.items()) > 1900


def test_a_record_is_moved_only_to_its_own_key(store: Store) -> None:
    put(store, one="/gone.jsonl#record=1", two="/gone.jsonl#record=2", whole="/gone.txt")
    known = KnownDocuments(store)
    moved = known.take_moved({"/new.jsonl#record=2": "h", "/new.jsonl#record=3": "h"})
    assert {source: row.id for source, row in moved.items()} == {"/new.jsonl#record=2": "two"}
    assert [row.id for row in known.take_moved({"/new.txt": "h"}).values()] == ["whole"]


def test_an_edited_file_keeps_its_id_even_after_a_move(store: Store) -> None:
    put(store, moved="/new/a.txt")
    known = KnownDocuments(store)
    before = known.of_files(["/new/a.txt"])["/new/a.txt"]
    assert [each.id for each in known.with_ids([document("/new/a.txt")], before)] == ["moved"]


def test_a_new_file_in_the_place_of_a_moved_one_gets_its_own_id(store: Store) -> None:
    moved = document_id("/a.txt")
    put(store, **{moved: "/b.txt"})
    a, c = KnownDocuments(store).with_ids([document("/a.txt"), document("/c.txt")], {})
    assert a.id not in ("", moved)
    assert c.id == document_id("/c.txt")


def test_records_belong_to_their_file(store: Store) -> None:
    put(store, a="/a.jsonl#record=1", b="/a.jsonl#record=2", c="/a.json")
    found = KnownDocuments(store).of_files(["/a.jsonl", "/none"])
    assert {file: set(rows) for file, rows in found.items()} == {
        "/a.jsonl": {"/a.jsonl#record=1", "/a.jsonl#record=2"},
        "/none": set(),
    }


def test_gone_only_below_the_roots(store: Store, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("x")
    put(
        store, a=str(tmp_path / "here.txt"), b=str(tmp_path / "gone.txt"), c=f"{tmp_path}/gone.jsonl#record=1",
        d=f"{tmp_path}-beside/gone.txt", e="https://example.org/", f="upload.txt",
    )  # fmt: skip
    known = KnownDocuments(store)
    assert sorted(known.gone([tmp_path])) == ["b", "c"]
    assert sorted(known.gone([tmp_path / "gone.jsonl", tmp_path / "gone.txt"])) == ["b", "c"]
    assert sorted(known.gone([Path("/")])) == ["b", "c", "d"]


class Counting:
    """A store that counts the rows which it gives of what is known."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.rows = 0

    def known(self, **asked):
        found = self._store.known(**asked)
        self.rows += len(found)
        return found

    def known_below(self, prefix: str):
        for row in self._store.known_below(prefix):
            self.rows += 1
            yield row


def test_what_is_looked_up_is_what_changed_whatever_else_there_is(store: Store, tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number}.txt").touch()
    put(store, **{f"id{number}": str(tmp_path / f"{number}.txt") for number in range(3000)})
    (tmp_path / "7.txt").unlink()
    counted = Counting(store)
    known = KnownDocuments(counted)  # type: ignore[arg-type]
    known.of_files([str(tmp_path / "8.txt"), str(tmp_path / "9.txt")])
    assert known.take_moved({"/new": "other content"}) == {}
    known.with_ids([document(str(tmp_path / "8.txt"))], {})
    assert known.prunable([tmp_path / "7.txt"], [tmp_path]) == ({"id7"}, [])
    assert counted.rows == 5, "two files, the one that is gone, and two to see that it is not more than half of them"
