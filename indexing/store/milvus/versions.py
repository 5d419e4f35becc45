"""Versions of documents.

A version is complete when its row is written; the newest complete version is current. Writers need no lock: a version's
number comes from the clock and is larger than any that the writer sees, and a writer deletes only older versions.
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

_MAX_NAMED = 500
"""Documents in one expression."""
_RANDOM_BITS = 20
"""Below the milliseconds since 1970 in a number, so that two writers have different ones."""


class Versions:
    def __init__(self, client: Client, names: Names) -> None:
        self._client = client
        self._names = names

    def current(self, documents: Iterable[str], consistency: Consistency = "Session") -> dict[str, Version]:
        """Document id -> its current version; without documents that do not exist."""
        found: dict[str, Version] = {}
        for some in slices(sorted(set(documents)), _MAX_NAMED):
            for row in self._client.query(self._names.documents, among("document", some), DOCUMENT, consistency):
                version = read_version(row)
                if version.row.id not in found or version.number > found[version.row.id].number:
                    found[version.row.id] = version
        return found

    def after(self, document: str, consistency: Consistency = "Session", *, rows: int = ROWS) -> Iterator[Version]:
        """The current versions of documents with larger ids, in the order of ids."""
        where = f"key > {literal(last_key(document))}"
        before = document
        for page in self._client.pages(self._names.documents, where, DOCUMENT, rows=rows, consistency=consistency):
            for row in page:
                if row["document"] != before:  # the newest version of a document comes first
                    yield read_version(row)
                before = row["document"]

    def remove(self, documents: Iterable[str], before: int) -> None:
        """Delete all older versions, complete or not."""
        for some in slices(sorted(set(documents)), _MAX_NAMED):
            where = f"{among('document', some)} and version < {before}"
            for name in (self._names.documents, self._names.chunks, self._names.texts):
                self._client.delete(name, where)


def next_number(versions: Iterable[Version]) -> int:
    """A number for a new version: larger than these, and than those of earlier writers."""
    now = (time.time_ns() // 1_000_000 << _RANDOM_BITS) + random.getrandbits(_RANDOM_BITS)
    return max([now, *(1 + version.number for version in versions)])


def age_s(version: int) -> float:
    return time.time() - (version >> _RANDOM_BITS) / 1000


def slices(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
