"""Which segments are merged: a chunk is rewritten only a few times, and a search reads few segments."""

import sqlite3
from collections.abc import Mapping, Sequence

from indexing.store.local.dense.factory import SCAN_ROWS, merged_factory
from indexing.store.local.dense.segment import SegmentRow

_MIN_SEGMENTS = 4
_DELETED = 0.3
"""Share of deleted chunks past which a segment is rewritten."""


def plan(rows: Sequence[SegmentRow], deleted: Mapping[int, int], factory: str, dimension: int) -> Sequence[SegmentRow]:
    """Neighbouring segments to merge; () for none. `deleted`: segment id -> deleted chunks in it.

    The newest are merged once there are four, each no larger than the newer ones together. Sizes then about double
    from new to old, and a chunk is written log2(n / 8192) times.
    """
    start, total = len(rows), 0
    while start > 0 and (start == len(rows) or rows[start - 1].chunks <= total):
        start -= 1
        total += rows[start].chunks
    if len(rows) - start >= _MIN_SEGMENTS:
        return rows[start:]
    for row in rows:
        if deleted.get(row.id, 0) >= _DELETED * row.chunks or _is_grown(row, factory, dimension):
            return [row]
    return ()


def plan_all(
    rows: Sequence[SegmentRow], deleted: Mapping[int, int], factory: str, dimension: int
) -> Sequence[SegmentRow]:
    """All segments; () where there is one of the right kind, without deleted chunks."""
    if (
        len(rows) == 1
        and not deleted.get(rows[0].id, 0)
        and rows[0].factory == merged_factory(factory, rows[0].chunks, dimension)
    ):
        return ()
    return rows


def _is_grown(row: SegmentRow, factory: str, dimension: int) -> bool:
    """Whether a segment that is scanned has so many chunks that another index would be faster."""
    is_scan = row.factory in {"SQ8", "Flat"}
    return row.chunks >= SCAN_ROWS and is_scan and row.factory != merged_factory(factory, row.chunks, dimension)


def deleted_chunks(connection: sqlite3.Connection) -> dict[int, int]:
    """Segment id -> deleted chunks in it."""
    sql = """
        SELECT segments.id, sum(1
            + min(dead.last_chunk, segments.last_chunk) - max(dead.first_chunk, segments.first_chunk))
        FROM segments JOIN dead ON dead.seq > segments.deaths
            AND dead.first_chunk <= segments.last_chunk AND dead.last_chunk >= segments.first_chunk
        GROUP BY segments.id
    """
    return dict(connection.execute(sql).fetchall())


def purge_tombstones(connection: sqlite3.Connection, applied: int) -> None:
    """Delete the tombstones whose chunks no index holds. BM25 has applied them up to `applied`.

    Tombstones past the last segment stay: another process may have their chunks in its buffer.
    """
    connection.execute(
        """
        DELETE FROM dead WHERE seq <= ? AND last_chunk <= (SELECT coalesce(max(last_chunk), 0) FROM segments)
            AND NOT EXISTS (SELECT 1 FROM segments WHERE segments.deaths < dead.seq
                AND segments.first_chunk <= dead.last_chunk AND segments.last_chunk >= dead.first_chunk)
        """,
        (applied,),
    )
