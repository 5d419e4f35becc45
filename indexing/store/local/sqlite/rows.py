"""Documents and chunks as rows of SQLite."""

import json
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing.document import RECORD, Chunk, Document, StoredChunk, passage
from indexing.store.filters import kind
from indexing.store.interface import DocumentRow, Known, Vectors, after_all, text_hash

BLOCK_BITS = 20
BLOCK_CHARS = 16_384


def insert(connection: sqlite3.Connection, document: Document, chunks: Sequence[Chunk], vectors: Vectors) -> None:
    first = last_seq(connection, "chunks") + 1
    key = connection.execute(
        "INSERT INTO documents"
        " (id, source, title, media_type, metadata, pages, content_hash, chars, first_chunk, chunks, added,"
        " reader) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            document.id, document.source, document.title, document.media_type, json.dumps(dict(document.metadata)),
            json.dumps(document.pages), document.content_hash, len(document.text), first, len(chunks), time.time(),
            document.reader,
        ),
    ).lastrowid  # fmt: skip
    assert key is not None  # noqa: S101 (an INSERT gives one)
    connection.executemany(
        "INSERT OR IGNORE INTO metadata VALUES (?, ?, ?, ?)",
        [(name, kind(value), value, key) for name, value in document.metadata.items()],
    )
    connection.executemany("INSERT INTO texts VALUES (?, ?)", _blocks(key, document.text))
    connection.executemany(
        "INSERT INTO chunks (id, document, ordinal, text, start, stop, page, heading, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (first + n, key, c.ordinal, c.text, c.start, c.end, c.page, c.heading, _hash(c))
            for n, c in enumerate(chunks)
        ),
    )
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    connection.executemany("INSERT INTO vectors VALUES (?, ?)", ((first + n, row.data) for n, row in enumerate(rows)))


def remove(connection: sqlite3.Connection, document_id: str) -> bool:
    """Delete a document, and leave a tombstone. False where there is none."""
    row = connection.execute("SELECT key, first_chunk, chunks FROM documents WHERE id = ?", (document_id,)).fetchone()
    if row is None:
        return False
    key, first, count = row
    last = first + count - 1
    connection.execute("DELETE FROM chunks WHERE id BETWEEN ? AND ?", (first, last))
    connection.execute("DELETE FROM vectors WHERE id BETWEEN ? AND ?", (first, last))
    connection.execute("DELETE FROM texts WHERE id BETWEEN ? AND ?", (key << BLOCK_BITS, ((key + 1) << BLOCK_BITS) - 1))
    connection.execute("DELETE FROM metadata WHERE document = ?", (key,))
    connection.execute("DELETE FROM documents WHERE key = ?", (key,))
    if count:
        connection.execute("INSERT INTO dead (document, first_chunk, last_chunk) VALUES (?, ?, ?)", (key, first, last))
    return True


def last_seq(connection: sqlite3.Connection, table: str) -> int:
    """The highest key that a table with AUTOINCREMENT has had; 0 for none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) if row else 0


def _hash(chunk: Chunk) -> bytes:
    return bytes.fromhex(text_hash(passage(chunk.heading, chunk.text)))


def _blocks(key: int, text: str) -> Iterator[tuple[int, bytes]]:
    for number, start in enumerate(range(0, len(text), BLOCK_CHARS)):
        body = zlib.compress(text[start : start + BLOCK_CHARS].encode(), 3)
        yield (key << BLOCK_BITS) + number, body


def text(connection: sqlite3.Connection, document_id: str, start: int, end: int | None) -> str | None:
    """document.text[start:end], or None where there is no such document."""
    row = connection.execute("SELECT key, chars FROM documents WHERE id = ?", (document_id,)).fetchone()
    if row is None:
        return None
    key, chars = row
    start, end, _ = slice(start, end).indices(chars)
    if start >= end:
        return ""
    first, last = start // BLOCK_CHARS, (end - 1) // BLOCK_CHARS
    base = key << BLOCK_BITS
    blocks = connection.execute(
        "SELECT body FROM texts WHERE id BETWEEN ? AND ? ORDER BY id", (base + first, base + last)
    )
    joined = "".join(zlib.decompress(body).decode() for (body,) in blocks)
    return joined[start - first * BLOCK_CHARS : end - first * BLOCK_CHARS]


def item(
    connection: sqlite3.Connection, document_id: str, dimension: int
) -> tuple[Document, list[Chunk], Vectors] | None:
    """A document as it was put; None where there is none."""
    row = document(connection, document_id)
    if row is None:
        return None
    whole = Document(
        row.id, row.source, row.title, text(connection, document_id, 0, None) or "", row.media_type, row.metadata,
        row.pages, row.content_hash, reader=row.reader,
    )  # fmt: skip
    stored = document_chunks(connection, document_id)
    parts = [Chunk(each.ordinal, each.text, each.start, each.end, each.page, each.heading) for each in stored]
    _, matrix = vectors(connection, [each.id for each in stored], dimension)
    return whole, parts, matrix


def versions(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Document id and the columns that differ between versions of a document, in the order of ids."""
    yield from connection.execute(
        "SELECT id, source, title, media_type, metadata, pages, content_hash, chars, reader FROM documents ORDER BY id"
    )


_DOCUMENT = (
    "SELECT id, source, title, media_type, metadata, pages, content_hash, chars, chunks, added, reader FROM documents"
)


def document(connection: sqlite3.Connection, document_id: str) -> DocumentRow | None:
    row = connection.execute(f"{_DOCUMENT} WHERE id = ?", (document_id,)).fetchone()
    return None if row is None else _document(row)


def documents(connection: sqlite3.Connection, after: str, limit: int) -> list[DocumentRow]:
    """In the order of their ids."""
    rows = connection.execute(f"{_DOCUMENT} WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
    return [_document(row) for row in rows]


def _document(row: tuple[Any, ...]) -> DocumentRow:
    identity, source, title, media_type, metadata, pages, *rest = row
    return DocumentRow(identity, source, title, media_type, json.loads(metadata), tuple(json.loads(pages)), *rest)


def readers(connection: sqlite3.Connection) -> dict[str, int]:
    """Reader -> its documents."""
    return dict(connection.execute("SELECT reader, count(*) FROM documents GROUP BY reader").fetchall())


def known(
    connection: sqlite3.Connection, files: Collection[str], hashes: Collection[str], ids: Collection[str]
) -> list[Known]:
    found = connection.execute(_OF_FILES, (json.dumps(list(files)),) * 2).fetchall() if files else []
    for column, values in (("content_hash", hashes), ("id", ids)):
        if values:
            found += connection.execute(f"{_KNOWN} WHERE {column} IN {_AMONG}", (json.dumps(list(values)),))
    return [Known(*row) for row in found]


def known_below(connection: sqlite3.Connection, prefix: str, after: Known | None, limit: int) -> list[Known]:
    """In the order of sources and ids; `after` is the last of the page before."""
    last = after_all(prefix) if prefix else chr(0x10FFFF)
    sql = f"{_KNOWN} WHERE source >= ? AND source < ? AND (source, id) > (?, ?) ORDER BY source, id LIMIT ?"
    source, identity = (after.source, after.id) if after else ("", "")
    return [Known(*row) for row in connection.execute(sql, (source or prefix, last, source, identity, limit))]


_KNOWN = "SELECT source, id, content_hash, reader FROM documents"
# CROSS keeps SQLite from scanning all documents for each file.
_OF_FILES = f"""
    SELECT source, documents.id, content_hash, reader FROM json_each(?) CROSS JOIN documents ON source = value
    UNION ALL SELECT source, documents.id, content_hash, reader FROM json_each(?) CROSS JOIN documents
        ON source >= value || '{RECORD}' AND source < value || '{after_all(RECORD)}'
"""  # noqa: S608 (ours)
_AMONG = "(SELECT value FROM json_each(?))"
_CHUNK = (
    "SELECT chunks.id, documents.id, ordinal, text, start, stop, page, heading, source, title, metadata"
    " FROM chunks JOIN documents ON documents.key = chunks.document"
)


def chunks(connection: sqlite3.Connection, ids: Sequence[int]) -> list[StoredChunk]:
    """In the order of `ids`, without those that were deleted."""
    rows = connection.execute(f"{_CHUNK} WHERE chunks.id IN {_AMONG}", (json.dumps(ids),))
    found = {row[0]: _chunk(row) for row in rows}
    return [found[each] for each in ids if each in found]


def document_chunks(connection: sqlite3.Connection, document_id: str) -> list[StoredChunk]:
    sql = f"{_CHUNK} WHERE documents.id = ? AND chunks.id BETWEEN first_chunk AND first_chunk + documents.chunks - 1"
    return [_chunk(row) for row in connection.execute(f"{sql} ORDER BY chunks.id", (document_id,))]


def _chunk(row: tuple[Any, ...]) -> StoredChunk:
    fields = (*row[:-1], json.loads(row[-1]))
    return StoredChunk(*fields)


def vectors(connection: sqlite3.Connection, ids: Sequence[int], dimension: int) -> tuple[NDArray[np.int64], Vectors]:
    """The ids that are stored, ascending, and their vectors (n, dimension)."""
    rows = connection.execute(
        "SELECT id, vector FROM vectors WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", (json.dumps(ids),)
    )
    return _stacked(rows.fetchall(), dimension)


def vectors_between(
    connection: sqlite3.Connection, first: int, last: int, dimension: int
) -> tuple[NDArray[np.int64], Vectors]:
    """The ids from first to last, ascending, and their vectors (n, dimension)."""
    rows = connection.execute("SELECT id, vector FROM vectors WHERE id BETWEEN ? AND ? ORDER BY id", (first, last))
    return _stacked(rows.fetchall(), dimension)


def _stacked(rows: list[tuple[int, bytes]], dimension: int) -> tuple[NDArray[np.int64], Vectors]:
    ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    matrix = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4").reshape(len(rows), dimension)
    return ids, matrix.astype(np.float32, copy=False)


def vectors_by_hash(connection: sqlite3.Connection, hashes: Iterable[str]) -> dict[str, Vectors]:
    found: dict[str, Vectors] = {}
    wanted = list(hashes)
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        marks = ", ".join("?" * len(some))
        sql = f"SELECT hash, vector FROM chunks JOIN vectors USING (id) WHERE hash IN ({marks})"  # noqa: S608
        for key, vector in connection.execute(sql, [bytes.fromhex(each) for each in some]):
            found[key.hex()] = np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False)
    return found
