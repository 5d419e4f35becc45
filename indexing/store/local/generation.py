"""One generation of a collection: a directory with an SQLite file, and two indexes that are built from it."""

import json
import logging
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexing.document import Hit
from indexing.errors import IndexingError
from indexing.store.analyzer import analyzer
from indexing.store.database import Database, storage_errors
from indexing.store.filters import Filters
from indexing.store.interface import Vectors
from indexing.store.local.dense import merge_policy, segment
from indexing.store.local.dense.buffer import inner_products
from indexing.store.local.dense.factory import SEAL_ROWS, make, merged_factory, sealed_factory
from indexing.store.local.dense.index import DenseIndex
from indexing.store.local.dense.merge_process import MergeResult, MergeTask
from indexing.store.local.dense.segment import SegmentRow, insert_segment, read_segments
from indexing.store.local.sparse.index import SparseIndex
from indexing.store.local.sqlite import rows
from indexing.store.local.sqlite.allowed import Allowed, allowed
from indexing.store.local.sqlite.where import where
from indexing.store.lock import FolderInUse
from indexing.store.manifest import Manifest

log = logging.getLogger(__name__)

DATABASE = "store.sqlite3"
VECTORS = "vectors"
_SPARE = 16
"""Hits of BM25 that are asked for past k, for some may be deleted."""
_MAX_DOCUMENT_TERMS = 5_000
"""Up to so many allowed documents are part of BM25's query; past it its hits are filtered."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Segments that one is to replace."""

    replaced: tuple[SegmentRow, ...]
    task: MergeTask
    tombstone: int
    """The newest before the merge began, which the merged segment has applied."""


class Generation:
    def __init__(self, path: Path, database: Database, manifest: Manifest, threads: int, in_use: FolderInUse) -> None:
        self.path = path
        self.token = uuid.uuid4().hex
        """Differs from that of any other that was opened, whose database's data_version() may be the same."""
        self._in_use = in_use
        self.database = database
        self.manifest = manifest
        self.dense = DenseIndex(path / VECTORS, database, manifest.dimension, threads)
        self.sparse = SparseIndex(path, database, manifest.language)
        self._allowed: tuple[object, Allowed] | None = None

    @classmethod
    def open(cls, path: Path, threads: int) -> "Generation":
        """Raises FileNotFoundError."""
        in_use = FolderInUse(path)
        try:
            (path / DATABASE).stat()
            database = Database.open(path / DATABASE)
            with database.reading() as connection:
                row = connection.execute("SELECT value FROM meta WHERE name = 'manifest'").fetchone()
            return cls(path, database, Manifest.from_json(row[0] if row else "", path.parent), threads, in_use)
        except BaseException:
            in_use.release()
            raise

    @staticmethod
    def check(manifest: Manifest) -> None:
        """Raises IndexMismatchError for an unknown factory string or language."""
        make(merged_factory(manifest.vectors, 2**20, manifest.dimension), manifest.dimension)
        analyzer(manifest.language)

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> None:
        """Create an empty one. Raises FileExistsError, and IndexMismatchError as check() does."""
        cls.check(manifest)
        with storage_errors(path):
            (path / VECTORS).mkdir(parents=True)
            Database.create(path / DATABASE, manifest.to_json(), manifest.dimension).close()

    def allowed(self, filters: Filters | None) -> Allowed | None:
        """The committed chunks that the filters allow; None for all. Raises FilterError."""
        if not filters:
            return None
        clause = where(filters)
        asked = self.database.data_version(), clause
        if (last := self._allowed) is not None and last[0] == asked:  # a hybrid search asks twice
            return last[1]
        with self.database.reading() as connection:
            found = allowed(connection, clause)
        self._allowed = asked, found
        return found

    def search_dense(self, query: Vectors, k: int, only: Allowed | None) -> list[Hit]:
        candidates = self.dense.search(query, k, only)
        with self.database.reading() as connection:
            ids, vectors = rows.vectors(connection, candidates.tolist(), self.manifest.dimension)
        scores = inner_products(vectors, query)
        best = np.argsort(-scores, kind="stable")[:k]
        return [Hit(int(ids[at]), float(scores[at])) for at in best]

    def search_sparse(self, text: str, k: int, only: Allowed | None) -> list[Hit]:
        """Drops hits that were deleted or are not allowed, and asks BM25 for more until there are k."""
        few = only.documents.tolist() if only is not None and len(only.documents) <= _MAX_DOCUMENT_TERMS else None
        limit = k + _SPARE if only is None or few is not None else self._expected_hits(k, only)
        while True:
            found = self.sparse.current().search(text, limit, few)
            kept = self._filtered(found, only)
            if len(kept) >= k or len(found) < limit:
                return kept[:k]
            limit *= 4

    def _expected_hits(self, k: int, only: Allowed) -> int:
        """How many hits to ask for so that k are allowed, if allowed chunks match as often as others."""
        with self.database.reading() as connection:
            (chunks,) = connection.execute("SELECT chunks FROM counts").fetchone()
        return round(1.3 * k * int(chunks) / only.count) + _SPARE

    def _filtered(self, found: list[tuple[int, float]], only: Allowed | None) -> list[Hit]:
        if only is not None:
            inside = only.contains(np.array([each for each, _ in found], np.int64))
            found = [each for each, keep in zip(found, inside, strict=True) if keep]
        with self.database.reading() as connection:
            there = _existing(connection, [each for each, _ in found])
        return [Hit(each, score) for each, score in found if each in there]

    def catch_up(self) -> None:
        """Bring the indexes up to date after a commit. By the writer.

        An error is only logged, for the write is durable, and the next call makes up for it.
        """
        try:
            self.sparse.catch_up()
            if self.dense.view().buffer.count >= SEAL_ROWS:
                self.seal()
        except (IndexingError, OSError, RuntimeError, ValueError) as exc:
            log.warning("an index of %s is behind, and will catch up with the next write: %s", self.path, exc)
            self.sparse.close_writer()

    def seal(self) -> None:
        """Write the buffer as a segment. By the writer."""
        view = self.dense.view()
        buffer = view.buffer.after(view.sealed)
        if not buffer.count:
            return
        factory = sealed_factory(self.manifest.vectors)
        index = make(factory, self.manifest.dimension)
        index.train(buffer.vectors)
        index.add_with_ids(buffer.vectors, buffer.ids)
        file = f"{uuid.uuid4().hex}.faiss"
        size, digest = segment.write(index, self.path / VECTORS / file)
        row = SegmentRow(
            0, file, view.sealed + 1, view.newest, index.ntotal, factory, 0, size, digest, deaths=view.tombstone
        )
        self._replace_segments(row, ())

    def next_merge(self, *, whole: bool) -> Merge | None:
        """The merge that is due; if `whole`, of all segments. None where none is."""
        choose = merge_policy.plan_all if whole else merge_policy.plan
        with self.database.reading() as connection:
            segments, deleted = read_segments(connection), merge_policy.deleted_chunks(connection)
        chosen = choose(segments, deleted, self.manifest.vectors, self.manifest.dimension)
        return self.merge_of(chosen) if chosen else None

    def merge_of(self, chosen: Sequence[SegmentRow]) -> Merge:
        with self.database.reading() as connection:
            tombstone = rows.last_seq(connection, "dead")
            live = connection.execute(
                "SELECT count(*) FROM vectors WHERE id BETWEEN ? AND ?", (chosen[0].first, chosen[-1].last)
            ).fetchone()[0]
        task = MergeTask(
            database=str(self.path / DATABASE),
            out=str(self.path / VECTORS / f"{uuid.uuid4().hex}.faiss"),
            first=chosen[0].first,
            last=chosen[-1].last,
            dimension=self.manifest.dimension,
            factory=merged_factory(self.manifest.vectors, live, self.manifest.dimension),
        )
        return Merge(tuple(chosen), task, tombstone)

    def install(self, merge: Merge, result: MergeResult | None) -> bool:
        """Replace the merged segments by the new one. False where one of them is gone. By the writer."""
        task = merge.task
        row = None if result is None else SegmentRow(
            0, Path(task.out).name, task.first, task.last, result.chunks, result.factory, result.nprobe, result.bytes,
            result.sha256, merge.tombstone,
        )  # fmt: skip
        done = self._replace_segments(row, merge.replaced)
        self._delete_unused_files()
        return done

    def _replace_segments(self, row: SegmentRow | None, replaced: Sequence[SegmentRow]) -> bool:
        with self.database.writing() as connection:
            there = {each.id for each in read_segments(connection)}
            if not all(each.id in there for each in replaced):
                return False
            connection.executemany("DELETE FROM segments WHERE id = ?", [(each.id,) for each in replaced])
            if row is not None:
                insert_segment(connection, row)
            self.sparse.save_tombstone(connection)
            merge_policy.purge_tombstones(connection, self.sparse.tombstone)
        return True

    def _delete_unused_files(self) -> None:
        """Delete vector files without a row in `segments`; never during a merge, whose file has none yet."""
        with self.database.reading() as connection:
            named = {row.file for row in read_segments(connection)}
        for file in (self.path / VECTORS).iterdir():
            if file.name not in named:
                file.unlink()

    def close(self) -> None:
        self.sparse.close()
        self.database.close()
        self._in_use.release()


def _existing(connection: sqlite3.Connection, ids: list[int]) -> set[int]:
    sql = "SELECT id FROM vectors WHERE id IN (SELECT value FROM json_each(?))"
    return {each for (each,) in connection.execute(sql, (json.dumps(ids),))}
