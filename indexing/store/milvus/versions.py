"""Versions of documents: which is current, and what is to go.

A version is complete when its row is there; the newest complete one is current. Nobody waits for anybody: versions are
numbered by the clock, past every number that the writer sees, and a writer removes only what is older than its own.
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from indexing.store.milvus.client import ROWS, Client, Consistency
from indexing.store.milvus.expressions import among, literal
from indexing.store.milvus.rows import DOCUMENT, Version, last_key, read_version
from indexing.store.milvus.schema import Names

T = TypeVar("T")

_AT_ONCE = 500
"""Documents named in one expression."""
_CHANCE_BITS = 20
"""Below the milliseconds since 1970, so that two writers at once have two numbers."""


class Versions:
    def __init__(self, client: Client, names: Names) -> None:
        self._client = client
        self._names = names

    def current(self, documents: Iterable[str], consistency: Consistency = "Session") -> dict[str, Version]:
        """By document; without those that are not there."""
        found: dict[str, Version] = {}
        for some in slices(sorted(set(documents)), _AT_ONCE):
            for row in self._client.query(self._names.documents, among("document", some), DOCUMENT, consistency):
                version = read_version(row)
                if version.row.id not in found or version.number > found[version.row.id].number:
                    found[version.row.id] = version
        return found

    def after(self, document: str, consistency: Consistency = "Session", *, rows: int = ROWS) -> Iterator[Version]:
        """The current ones past a document, in the order of documents."""
        where = f"key > {literal(last_key(document))}"
        before = document
        for page in self._client.pages(self._names.documents, where, DOCUMENT, rows=rows, consistency=consistency):
            for row in page:
                if row["document"] != before:  # of each the newest comes first
                    yield read_version(row)
                before = row["document"]

    def remove(self, documents: Iterable[str], before: int) -> None:
        """All versions that are older, complete or not."""
        for some in slices(sorted(set(documents)), _AT_ONCE):
            where = f"{among('document', some)} and version < {before}"
            for name in (self._names.documents, self._names.chunks, self._names.texts):
                self._client.delete(name, where)


def following(versions: Iterable[Version]) -> int:
    """A number past all of these, and past what others wrote before now."""
    now = (time.time_ns() // 1_000_000 << _CHANCE_BITS) + random.getrandbits(_CHANCE_BITS)
    return max([now, *(1 + version.number for version in versions)])


def age_s(version: int) -> float:
    return time.time() - (version >> _CHANCE_BITS) / 1000


def slices(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
