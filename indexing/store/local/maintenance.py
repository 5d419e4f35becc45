"""What a collection holds, whether its files are sound, and how they are repaired and compacted."""

import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexing.errors import DamagedIndexError
from indexing.store.interface import Info, Problem
from indexing.store.local.dense import merge_policy
from indexing.store.local.dense.segment import Segment, SegmentRow, read_segments
from indexing.store.local.generation import VECTORS, Generation
from indexing.store.local.sqlite import rows
from indexing.store.local.sqlite.rows import BLOCK_BITS
from indexing.store.local.writer import Writer
from indexing.store.manifest import Manifest
from services.disk import sha256

_FILES = ("store.sqlite3*", "vectors/*", "bm25-*/*")
_FREE = 0.2
"""Share of free pages past which compact() rewrites the SQLite file."""


@dataclass(frozen=True, slots=True)
class LocalInfo(Info):
    dead: int
    """Deleted chunks that are still in a segment."""
    tail: int
    """Chunks in the buffer: not yet in a segment, and searched in memory."""
    segments: tuple[SegmentRow, ...]
    database_bytes: int
    vectors_bytes: int
    bm25_bytes: int
    other_bytes: int
    """Of an unfinished reindex, and of a generation that was replaced, until no process has it open."""
    readers: Mapping[str, int]
    """Reader -> its documents; "" for those that were given as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentProblem(Problem):
    segment: SegmentRow


def info(generation: Generation) -> LocalInfo:
    with generation.database.reading() as connection:
        documents, chunks = connection.execute("SELECT documents, chunks FROM counts").fetchone()
        segments, deleted = read_segments(connection), merge_policy.deleted_chunks(connection)
        sealed = segments[-1].last if segments else 0
        readers = rows.readers(connection)
        (buffered,) = connection.execute("SELECT count(*) FROM vectors WHERE id > ?", (sealed,)).fetchone()
    database, vectors, bm25 = (sum(map(_size, generation.path.glob(name))) for name in _FILES)
    other = sum(
        _size(Path(folder, name))
        for each in generation.path.parent.iterdir()
        if each != generation.path
        for folder, _, names in os.walk(each)
        for name in names
    )
    return LocalInfo(
        generation.manifest, documents, chunks, sum(deleted.values()), buffered, tuple(segments),
        database, vectors, bm25, other,
        readers,
    )  # fmt: skip


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted by a merge meanwhile
        return 0


def compact(writer: Writer) -> None:
    """Merge all segments into one without deleted chunks, and shrink the SQLite file."""
    with writer.writing() as generation:
        generation.sparse.catch_up()
        if generation.dense.view().segments:
            generation.seal()
    writer.merge(whole=True)
    with writer.writing() as generation:
        with generation.database.reading() as connection:
            (pages,), (free,) = (
                connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count")
            )
        if free > _FREE * pages:
            generation.database.execute("VACUUM")
        generation.database.execute("PRAGMA optimize")
        generation.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def verify(writer: Writer) -> list[Problem]:
    """Check all files, as they are at one moment; searches and writes go on."""
    with writer.merges_paused() as generation, generation.database.reading() as connection:
        problems: list[Problem] = []
        with writer.writing():  # until BM25 and this transaction show the same commit
            segments = read_segments(connection)
            try:
                ids = generation.sparse.current().snapshot()
            except DamagedIndexError as exc:
                problems.append(Problem(f"BM25: {exc}", repairable=True))
                ids = None
        problems += _check_rows(connection, generation.manifest)
        problems += _check_texts(connection)
        if ids is not None:
            problems += _check_sparse(ids(), connection)
        for row in segments:
            problems += _check_segment(generation, connection, row)
        return problems


def repair(writer: Writer) -> tuple[list[Problem], list[Problem]]:
    """Build what is wrong in the indexes again from SQLite."""
    problems = verify(writer)
    if any(problem.repairable and not isinstance(problem, SegmentProblem) for problem in problems):
        with writer.writing() as generation:
            generation.sparse.rebuild()
    for row in {problem.segment for problem in problems if isinstance(problem, SegmentProblem)}:
        writer.rebuild(row)
    return problems, verify(writer) if problems else []


def _check_rows(connection: sqlite3.Connection, manifest: Manifest) -> Iterator[Problem]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Problem(f"SQLite: {line}", repairable=False)
    for what, sql in _CHECKS.items():
        (count,) = connection.execute(sql, {"bytes": 4 * manifest.dimension}).fetchone()
        if count:
            yield Problem(f"{count} {what}", repairable=False)


_CHECKS = {
    "documents whose chunks are not all there": """
        SELECT count(*) FROM documents WHERE chunks != (SELECT count(*) FROM chunks
            WHERE chunks.id BETWEEN first_chunk AND first_chunk + documents.chunks - 1 AND document = key)""",
    "wrong counts": """
        SELECT count(*) FROM counts WHERE documents != (SELECT count(*) FROM documents)
            OR chunks != (SELECT count(*) FROM chunks)""",
    "chunks of no document": "SELECT count(*) FROM chunks WHERE document NOT IN (SELECT key FROM documents)",
    "chunks without a vector": "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT id FROM vectors)",
    "vectors of no chunk": "SELECT count(*) FROM vectors WHERE id NOT IN (SELECT id FROM chunks)",
    "vectors of another size": "SELECT count(*) FROM vectors WHERE length(vector) != :bytes",
    "metadata of no document": "SELECT count(*) FROM metadata WHERE document NOT IN (SELECT key FROM documents)",
}


def _check_texts(connection: sqlite3.Connection) -> Iterator[Problem]:
    documents = connection.execute("SELECT key, id, chars, first_chunk, chunks FROM documents")
    for key, identity, chars, first, count in documents:
        blocks = connection.execute(
            "SELECT body FROM texts WHERE id BETWEEN ? AND ? ORDER BY id",
            (key << BLOCK_BITS, ((key + 1) << BLOCK_BITS) - 1),
        )
        try:
            text = "".join(zlib.decompress(body).decode() for (body,) in blocks)
        except (zlib.error, UnicodeDecodeError) as exc:
            yield Problem(f"the text of document {identity!r} is not readable: {exc}", repairable=False)
            continue
        if len(text) != chars:
            yield Problem(f"document {identity!r} has {len(text)} characters, not {chars}", repairable=False)
        for ordinal, start, stop, part in connection.execute(
            "SELECT ordinal, start, stop, text FROM chunks WHERE id BETWEEN ? AND ?", (first, first + count - 1)
        ):
            if text[start:stop] != part:
                yield Problem(f"chunk {ordinal} of document {identity!r} is not its text", repairable=False)


def _check_sparse(found: list[int], connection: sqlite3.Connection) -> Iterator[Problem]:
    there = {each for (each,) in connection.execute("SELECT id FROM chunks")}
    if len(found) != len(set(found)):
        yield Problem(f"BM25 holds {len(found) - len(set(found))} chunks twice", repairable=True)
    if missing := there - set(found):
        yield Problem(f"BM25 lacks {len(missing)} chunks", repairable=True)


def _check_segment(generation: Generation, connection: sqlite3.Connection, row: SegmentRow) -> Iterator[Problem]:
    try:
        opened = Segment.open(generation.path / VECTORS, row)
    except (DamagedIndexError, FileNotFoundError) as exc:
        yield SegmentProblem(f"segment {row.file}: {exc}", repairable=True, segment=row)
        return
    if sha256(generation.path / VECTORS / row.file) != row.sha256:
        yield SegmentProblem(f"segment {row.file} has changed since it was written", repairable=True, segment=row)
        return
    found = opened.ids()
    there = connection.execute("SELECT id FROM vectors WHERE id BETWEEN ? AND ?", (row.first, row.last))
    lacking = np.setdiff1d(np.fromiter((each for (each,) in there), np.int64), found)
    if len(lacking) or len(np.unique(found)) != len(found):
        yield SegmentProblem(
            f"segment {row.file} lacks {len(lacking)} chunks, or holds some twice", repairable=True, segment=row
        )
