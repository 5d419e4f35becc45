"""Versions of documents.

A version is complete when its row is written; the newest complete version is current. Writers need no lock:

- A put takes its number from the clock, past every number that it sees. It deletes the versions that it has seen.
- A deletion deletes the versions that it has seen, by their keys, so never one that is written meanwhile.
- A move writes a version again, under a number just above: a put of the same time has a larger one, and wins. Where
  all other versions are gone once it is done, the document was deleted meanwhile, and the move takes itself back; a
  deletion looks for moves of what it deleted when it is done. So one of the two sees the other.
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from indexing.document import Scalar
from indexing.store.milvus.client import ROWS, Client, Consistency, Row
from indexing.store.milvus.expressions import among, literal
from indexing.store.milvus.rows import (
    BLOCK_CHARS,
    DOCUMENT,
    Version,
    chunk_id,
    document_key,
    last_key,
    read_version,
    text_key,
)
from indexing.store.milvus.schema import Names

T = TypeVar("T")

_MAX_NAMED = 500
"""Documents or keys in one expression."""
_RANDOM_BITS = 20
"""Below the milliseconds since 1970 in a number, so that two writers have different ones."""
_MOVE_BITS = 10
_MOVES = 1 << _MOVE_BITS
"""Numbers above that of a version which are for moves of it."""
_KEYS = ("document", "version", "chunks", "chars")


class Versions:
    def __init__(self, client: Client, names: Names) -> None:
        self._client = client
        self._names = names

    def complete(self, documents: Iterable[str], fields: Sequence[str] = _KEYS) -> dict[str, list[Row]]:
        """Document id -> its complete versions, the newest last, as every writer has left them."""
        return self._read(documents, fields, "Strong")

    def newest(
        self, documents: Iterable[str], fields: Sequence[str], consistency: Consistency = "Session"
    ) -> dict[str, Row]:
        """Document id -> these fields of its current version; without documents that do not exist."""
        return {each: found[-1] for each, found in self._read(documents, fields, consistency).items()}

    def current(self, document: str, consistency: Consistency = "Session") -> Version | None:
        found = self._read([document], DOCUMENT, consistency).get(document)
        return read_version(found[-1]) if found else None

    def _read(self, documents: Iterable[str], fields: Sequence[str], consistency: Consistency) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for some in slices(sorted(set(documents)), _MAX_NAMED):
            for row in self._client.query(self._names.documents, among("document", some), fields, consistency):
                found.setdefault(row["document"], []).append(row)
        for rows in found.values():
            rows.sort(key=lambda row: int(row["version"]))
        return found

    def after(
        self,
        document: str,
        consistency: Consistency = "Session",
        *,
        fields: Sequence[str] = DOCUMENT,
        rows: int = ROWS,
    ) -> Iterator[Row]:
        """The current versions of documents with larger ids, in the order of ids."""
        where = f"key > {literal(last_key(document))}"
        before = document
        for page in self._client.pages(self._names.documents, where, fields, rows=rows, consistency=consistency):
            for row in page:
                if row["document"] != before:  # the newest version of a document comes first
                    yield row
                before = row["document"]

    def remove(self, found: Iterable[Row], *, current: bool = False) -> None:
        """Delete these versions and nothing else.

        The rows of current versions go first, so that none is read in part; those of superseded ones last, so that the
        next writer finds what one that dies has left.
        """
        versions = [(row["document"], row["version"], row["chunks"], row["chars"]) for row in found]
        documents = [document_key(document, number) for document, number, _, _ in versions]
        chunks = [chunk_id(document, number, n) for document, number, count, _ in versions for n in range(count)]
        texts = [
            text_key(document, number, block)
            for document, number, _, chars in versions
            for block in range(blocks(chars))
        ]
        wanted: tuple[tuple[str, str, Sequence[Scalar]], ...] = (
            (self._names.documents, "key", documents),
            (self._names.chunks, "id", chunks),
            (self._names.texts, "key", texts),
        )
        for name, column, keys in wanted if current else wanted[::-1]:
            for some in slices(keys, _MAX_NAMED):
                self._client.delete(name, among(column, some))


def next_number(seen: Iterable[int]) -> int:
    """A number for a put: larger than these and their moves, and than those of earlier writers."""
    below = random.getrandbits(_RANDOM_BITS)
    now = (time.time_ns() // 1_000_000 << _RANDOM_BITS) + below
    return max([now, *(1 + _MOVES + below + number for number in seen)])


def move_number(number: int) -> int:
    return number + 1 + random.getrandbits(_MOVE_BITS)


def is_move(number: int, of: Iterable[int]) -> bool:
    """Whether this is the number of a move of one of these versions."""
    return any(0 < number - each <= _MOVES for each in of)


def blocks(chars: int) -> int:
    """Rows of a text."""
    return -(-chars // BLOCK_CHARS)


def age_s(version: int) -> float:
    return time.time() - (version >> _RANDOM_BITS) / 1000


def slices(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
