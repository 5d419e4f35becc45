"""BM25's terms: words however Unicode writes them, long words, and an index of an older analyzer."""

import sqlite3
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest

from indexing.store.analyzer import analyzer, folded
from indexing.store.local import Store, collection_path
from tests.indexing.made import MANIFEST, item


def terms(text: str, language: str = "none") -> list[str]:
    return list(analyzer(language).analyze(folded(text)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café crème", unicodedata.normalize("NFD", "Café crème")),
        ("İstanbul", "istanbul"),
        ("Ελλάδα", "ΕΛΛΑΔΑ"),
        ("οδός", "ΟΔΟΣ"),
        ("й", unicodedata.normalize("NFD", "Й")),
        ("foo\u200bbar", "foobar"),
    ],
)
def test_a_word_is_one_term_however_it_is_written(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


def test_letters_that_differ_stay_apart() -> None:
    assert terms("й") != terms("и")
    assert terms("कि") != terms("क")


@pytest.mark.parametrize(
    "word", ["9f86d081884c7d65" * 4, "0123456789abcdef" * 8, "\u10d0" * 21, "donaudampfschiff" * 5]
)
def test_a_long_word_is_a_term(word: str) -> None:
    assert terms(f"the word {word} here") == ["the", "word", word, "here"]


def test_a_run_of_200_characters_is_none() -> None:
    assert terms(f"a run {'a' * 200} of letters") == ["a", "run", "of", "letters"]


def sparse(store: Store, text: str) -> list[str]:
    return [chunk.text for chunk in store.chunks([hit.chunk_id for hit in store.search_sparse(text, 10)])]


def test_an_index_of_an_older_analyzer_is_built_again_when_it_is_opened(tmp_path: Path) -> None:
    path = collection_path(tmp_path, "default")
    with Store.create_or_open(path, MANIFEST) as store:
        store.put([item("a", "a trip to Ελλάδα")])
    (folder,) = path.glob("g*")
    with closing(sqlite3.connect(folder / "store.sqlite3")) as connection, connection:
        assert connection.execute("DELETE FROM meta WHERE name = 'analyzer'").rowcount == 1
    with Store.open(path) as store:
        assert sparse(store, "ΕΛΛΑΔΑ") == ["a trip to Ελλάδα"]
        assert not (folder / "bm25-1-english").exists()
        assert (folder / "bm25-2-english").exists()
    with Store.open(path) as store:
        assert sparse(store, "Ελλαδα")
        assert (folder / "bm25-2-english").exists()
