"""BM25 by tantivy, in a folder beside the SQLite file.

Chunks are added by ascending id: after a crash, it goes on past the newest id that it holds. It may still find chunks
that were deleted; the generation drops hits that SQLite no longer has.
"""

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import tantivy

from indexing.document import passage
from indexing.errors import DamagedIndexError, StorageError
from indexing.store.analyzer import MAX_REPEATS, MAX_TERMS, analyzer, folded

_HEAP_BYTES = 48_000_000
_BATCH = 50_000
_ANALYZER = "ragline"


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", indexed=True, fast=True)
    builder.add_unsigned_field("document", indexed=True)
    builder.add_text_field("text", tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


class Bm25:
    """Searches are for any thread; writes for one, with the writer's lock held."""

    def __init__(self, directory: Path, language: str) -> None:
        """Raises DamagedIndexError."""
        self._analyzer = analyzer(language)
        self._schema = _schema()
        self._directory = directory
        self._links: TemporaryDirectory[str] | None = None
        with _damage(directory):
            self._index = tantivy.Index(self._schema, path=str(self._opened_at()))
        self._index.register_tokenizer(_ANALYZER, self._analyzer)
        self._index.config_reader("manual")
        self._seen = (0, 0)
        self._writer: tantivy.IndexWriter | None = None
        self._newest: int | None = None

    def _opened_at(self) -> Path:
        """The folder, or one with links to its files where it is read-only: tantivy writes locks to read, too."""
        if not self._directory.exists():
            self._directory.mkdir(parents=True)
        if os.access(self._directory, os.W_OK):
            return self._directory
        self._links = TemporaryDirectory(prefix="ragline-bm25-")
        _link(self._directory, Path(self._links.name))
        return Path(self._links.name)

    def search(self, text: str, k: int, documents: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """At most k of (chunk id, score), best first. `documents` are the keys of those to search, None for all."""
        searcher = self._searcher()
        with _damage(self._directory):
            query = self._query(searcher, text)
            if query is None:
                return []
            if documents is not None:
                among = tantivy.Query.term_set_query(self._schema, "document", documents)
                must = [query, tantivy.Query.const_score_query(among, 0.0)]
                query = tantivy.Query.boolean_query([(tantivy.Occur.Must, each) for each in must])
            hits = searcher.search(query, k, count=False).hits
            ids = searcher.fast_field_values("id", [address for _, address in hits])
        return [(int(each), score) for each, (score, _) in zip(ids, hits, strict=True) if each is not None]

    def _query(self, searcher: tantivy.Searcher, text: str) -> tantivy.Query | None:
        """A union of the text's terms, the rarest of a long text; None where the index has none of them.

        A term that comes twice is in it twice: only a union without boosts and nesting lets tantivy skip blocks.
        """
        counts = Counter(self._analyzer.analyze(folded(text)))
        frequency = {term: searcher.doc_freq("text", term) for term in counts}
        terms = sorted((term for term in counts if frequency[term]), key=lambda term: (frequency[term], term))
        parts = []
        for term in terms[:MAX_TERMS]:
            query = tantivy.Query.term_query(self._schema, "text", term, "freq")
            parts += [(tantivy.Occur.Should, query)] * min(counts[term], MAX_REPEATS)
        return tantivy.Query.boolean_query(parts) if parts else None

    def newest(self) -> int:
        """The highest chunk id; 0 where there is none."""
        searcher = self._searcher()
        with _damage(self._directory):
            found = searcher.search(tantivy.Query.all_query(), 1, count=False, order_by_field="id").hits
        return int(found[0][0]) if found else 0

    def snapshot(self) -> Callable[[], list[int]]:
        """A function that reads all chunk ids of the present commit, in no order."""
        searcher = self._searcher()

        def ids() -> list[int]:
            with _damage(self._directory):
                hits = searcher.search(tantivy.Query.all_query(), max(searcher.num_docs, 1), count=False).hits
                values = searcher.fast_field_values("id", [at for _, at in hits])
            return [int(each) for each in values if each is not None]

        return ids

    def link(self, folder: Path) -> None:
        """Make a folder with the files of the present commit. They are hard links, for they never change."""
        self.close_writer()
        folder.mkdir()
        for file in self._directory.iterdir():
            if file.suffix == ".json":
                shutil.copyfile(file, folder / file.name)
            elif file.suffix != ".lock":
                (folder / file.name).hardlink_to(file)

    def _searcher(self) -> tantivy.Searcher:
        """Of the newest commit of any process."""
        with _damage(self._directory):
            stat = (self._directory / "meta.json").stat()
            seen = (stat.st_ino, stat.st_mtime_ns)
            if seen != self._seen:
                if self._links is not None:
                    _link(self._directory, Path(self._links.name))
                self._index.reload()
                self._seen = seen
            return self._index.searcher()

    def catch_up(self, connection: sqlite3.Connection, after: int) -> int:
        """Add the newer chunks of SQLite, and apply the tombstones past `after`. Returns the newest that is applied.

        Raises StorageError where it cannot be written; after close_writer() it goes on from its last commit.
        """
        if self._newest is None:
            self._newest = self.newest()
        try:
            return self._catch_up(connection, after, self._newest)
        except (ValueError, OSError) as exc:
            raise StorageError(f"{self._directory} cannot be written: {exc}") from exc

    def _catch_up(self, connection: sqlite3.Connection, after: int, newest: int) -> int:
        if self._writer is None:
            self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)
        writer = self._writer
        sql = "SELECT seq, document FROM dead WHERE seq > ? ORDER BY seq"
        tombstones = connection.execute(sql, (after,)).fetchall()
        for _, document in tombstones:
            writer.delete_documents_by_term("document", document)
        pending = len(tombstones)
        for document, identity in _rows(connection, newest):
            writer.add_document(document)
            newest = identity
            pending += 1
            if pending % _BATCH == 0:
                writer.commit()
        if pending % _BATCH:
            writer.commit()
        self._newest = newest
        self._searcher()
        return int(tombstones[-1][0]) if tombstones else after

    def close_writer(self) -> None:
        """Stop the writer and its merges."""
        self._writer = None
        self._newest = None

    def close(self) -> None:
        """Wait for merges, and close the writer."""
        writer = self._writer
        self.close_writer()
        if writer is not None:
            writer.wait_merging_threads()
        if self._links is not None:
            self._links.cleanup()


def _link(source: Path, target: Path) -> None:
    """Link the files, which never change, and copy the two JSON files that name them."""
    for file in source.iterdir():
        if file.suffix == ".json":
            shutil.copyfile(file, target / f"{file.name}.new")
            (target / f"{file.name}.new").replace(target / file.name)
        elif file.suffix != ".lock" and not (target / file.name).exists():
            (target / file.name).symlink_to(file)


@contextmanager
def _damage(directory: Path) -> Iterator[None]:
    """tantivy raises ValueError for what is wrong with its files, or panics."""
    try:
        yield
    except BaseException as exc:
        # a panic of Rust is no Exception, and its class cannot be imported
        if isinstance(exc, ValueError | FileNotFoundError) or type(exc).__name__ == "PanicException":
            raise DamagedIndexError(f"{directory}: {exc}. Run `ragline index repair`") from exc
        raise


def _rows(connection: sqlite3.Connection, newest: int) -> Iterator[tuple[tantivy.Document, int]]:
    rows = connection.execute("SELECT id, document, heading, text FROM chunks WHERE id > ? ORDER BY id", (newest,))
    for identity, key, heading, text in rows:
        document = tantivy.Document()
        document.add_unsigned("id", identity)
        document.add_unsigned("document", key)
        document.add_text("text", folded(passage(heading, text)))
        yield document, identity
