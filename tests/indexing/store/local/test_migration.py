"""A collection that an older release has made is brought to the present schema, in one transaction, by opening it."""

import hashlib
import sqlite3
from pathlib import Path

import pytest

from indexing.errors import IndexMismatchError
from indexing.store.local import Store
from indexing.store.schema import MIGRATIONS, SCHEMA
from tests.indexing.made import MANIFEST, item, vector_of

FIRST = [
    "DROP INDEX documents_by_content", "DROP INDEX documents_by_reader", "ALTER TABLE documents DROP COLUMN reader",
    "PRAGMA user_version = 0",
]  # fmt: skip
"""Takes all migrations back: what the first release wrote."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old"
    with Store.create_or_open(path, MANIFEST) as store:
        store.put([item("a", "red apples"), item("b", "blue plums", "and pears")])
        store.job_create("index")
    execute(path, *FIRST)
    return path


def execute(path: Path, *statements: str) -> list[tuple[object, ...]]:
    (file,) = path.glob("g*/store.sqlite3")
    connection = sqlite3.connect(file)
    try:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
    finally:
        connection.close()
    return rows


def test_the_first_schema_stays_as_it_was() -> None:
    """Whoever changes a table appends to MIGRATIONS."""
    assert hashlib.sha256(SCHEMA.encode()).hexdigest()[:16] == "88b8aa4398354c5e"


def test_an_old_collection_is_whole_and_goes_on(old: Path) -> None:
    with Store.open(old) as store:
        assert {row.id: (row.reader, row.chunks) for row in store.documents()[0]} == {
            "a": ("unknown", 1),
            "b": ("unknown", 2),
        }
        (hit, *_) = store.search_dense(vector_of("red apples"), 1)
        assert store.chunks([hit.chunk_id])[0].document_id == "a"
        assert len(store.search_sparse("plums", 3)) == len(store.jobs()) == 1
        store.put([item("c", "green pears")])
        assert store.info().readers == {"unknown": 2, "": 1}
        assert {(row.source, row.reader) for row in store.known(ids=["a", "c"])} == {
            ("/made/a.txt", "unknown"),
            ("/made/c.txt", ""),
        }
        assert store.verify() == []
    assert execute(old, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_step_that_fails_changes_nothing(old: Path) -> None:
    execute(old, "CREATE INDEX documents_by_reader ON documents (title)")
    before = execute(old, "SELECT sql FROM sqlite_schema")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        Store.open(old)
    assert execute(old, "SELECT sql FROM sqlite_schema") == before
    execute(old, "DROP INDEX documents_by_reader")
    with Store.open(old) as store:
        assert store.stats().documents == 2


def test_a_collection_of_a_newer_release_is_refused(old: Path) -> None:
    execute(old, "PRAGMA user_version = 99")
    with pytest.raises(IndexMismatchError, match=r"schema 99.*use the ragline that made it, or index its files into"):
        Store.open(old)
