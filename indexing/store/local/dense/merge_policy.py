"""Which segments to merge: so that a chunk is written again only a few times, and a search reads few segments."""

import sqlite3
from collections.abc import Mapping, Sequence

from indexing.store.local.dense.factory import SCAN_ROWS, merged_factory
from indexing.store.local.dense.segment import SegmentRow

_MIN_SEGMENTS = 4
_DELETED = 0.3
"""Share of dead chunks at which a segment is written again."""


def plan(rows: Sequence[SegmentRow], deleted: Mapping[int, int], factory: str, dimension: int) -> Sequence[SegmentRow]:
    """Neighbours to make one of; () where all is well.

    The newest ones, once there are four and each is no larger than those after it together: sizes then about double
    from new to old, and a chunk is written log2(n / 8192) times. `deleted`: segment id -> dead chunks in it.
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
    """All, unless they are one segment already, of the right kind and without dead chunks."""
    if (
        len(rows) == 1
        and not deleted.get(rows[0].id, 0)
        and rows[0].factory == merged_factory(factory, rows[0].chunks, dimension)
    ):
        return ()
    return rows


def _is_grown(row: SegmentRow, factory: str, dimension: int) -> bool:
    """A scan, where so many chunks ask for more."""
    is_scan = row.factory in {"SQ8", "Flat"}
    return row.chunks >= SCAN_ROWS and is_scan and row.factory != merged_factory(factory, row.chunks, dimension)


def deleted_chunks(connection: sqlite3.Connection) -> dict[int, int]:
    """Segment id -> chunks in it that are dead."""
    sql = """
        SELECT segments.id, sum(1
            + min(dead.last_chunk, segments.last_chunk) - max(dead.first_chunk, segments.first_chunk))
        FROM segments JOIN dead ON dead.seq > segments.deaths
            AND dead.first_chunk <= segments.last_chunk AND dead.last_chunk >= segments.first_chunk
        GROUP BY segments.id
    """
    return dict(connection.execute(sql).fetchall())


def purge_tombstones(connection: sqlite3.Connection, applied: int) -> None:
    """Forget the dead that neither a segment nor BM25, which has taken them out up to `applied`, holds any more.

    Those past the last segment are kept: another process may have them in its tail.
    """
    connection.execute(
        """
        DELETE FROM dead WHERE seq <= ? AND last_chunk <= (SELECT coalesce(max(last_chunk), 0) FROM segments)
            AND NOT EXISTS (SELECT 1 FROM segments WHERE segments.deaths < dead.seq
                AND segments.first_chunk <= dead.last_chunk AND segments.last_chunk >= dead.first_chunk)
        """,
        (applied,),
    )
