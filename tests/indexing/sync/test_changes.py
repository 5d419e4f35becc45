"""Unchanged, moved, replaced and gone, by what the store knows."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from indexing.document import Document, document_id
from indexing.sync.changes import KnownDocuments


def document(source: str, content_hash: str = "new") -> Document:
    return Document(document_id(source), source, "t", "text", "text/plain", {}, (), content_hash)


def test_moved_only_where_the_old_file_is_gone_and_only_once(tmp_path: Path) -> None:
    stays = tmp_path / "stays.txt"
    stays.write_text("x")
    gone = str(tmp_path / "gone.txt")
    known = KnownDocuments({str(stays): ("1", "h"), gone: ("2", "h")})
    assert known.take_moved("/new.txt", "h") == (gone, "2")
    assert known.take_moved("/newer.txt", "h") is None
    assert known.take_moved("/newer.txt", "other") is None


def test_equal_files_that_moved_are_taken_once_each_on_any_threads() -> None:
    known = KnownDocuments({f"/gone/{i}.txt": (str(i), "h") for i in range(2000)})
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda i: known.take_moved(f"/new/{i}.txt", "h"), range(2100)))
    ids = sorted(int(each[1]) for each in taken if each is not None)
    assert (ids, len(taken)) == (list(range(2000)), 2100)


def test_an_edited_file_keeps_its_id_even_after_a_move() -> None:
    known = KnownDocuments({"/new/a.txt": ("id-of-the-old-place", "h")})
    assert known.with_id(document("/new/a.txt")).id == "id-of-the-old-place"


def test_a_new_file_in_the_place_of_a_moved_one_gets_its_own_id() -> None:
    moved = document_id("/a.txt")
    known = KnownDocuments({"/b.txt": (moved, "h")})
    assert known.with_id(document("/a.txt")).id not in ("", moved)
    assert known.with_id(document("/c.txt")).id == document_id("/c.txt")


def test_records_belong_to_their_file() -> None:
    known = KnownDocuments({"/a.jsonl#record=1": ("1", "h1"), "/a.jsonl#record=2": ("2", "h2"), "/a.json": ("3", "h3")})
    assert set(known.of_file(Path("/a.jsonl"))) == {"/a.jsonl#record=1", "/a.jsonl#record=2"}


def test_gone_only_below_the_roots(tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("x")
    known = {
        str(tmp_path / "here.txt"): ("1", ""), str(tmp_path / "gone.txt"): ("2", ""),
        f"{tmp_path}/gone.jsonl#record=1": ("3", ""), f"{tmp_path}-beside/gone.txt": ("4", ""),
        "https://example.org/": ("5", ""),
    }  # fmt: skip
    assert sorted(KnownDocuments(known).gone([tmp_path])) == ["2", "3"]
