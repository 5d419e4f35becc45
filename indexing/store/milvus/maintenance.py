"""What a collection in Milvus holds; finds missing chunks, and deletes what dead writers left."""

from collections import Counter
from dataclasses import dataclass

from indexing.store.interface import Info, Problem
from indexing.store.milvus.client import Client
from indexing.store.milvus.expressions import literal
from indexing.store.milvus.schema import Names
from indexing.store.milvus.versions import Versions, age_s

_WRITING_S = 3600.0
"""A version that is younger may still be being written."""
_KEYS = ("document", "version")


@dataclass(frozen=True, slots=True)
class MilvusInfo(Info):
    milvus: str
    """Address of the Milvus."""
    milvus_version: str


def verify(client: Client, names: Names, versions: Versions) -> list[Problem]:
    problems = []
    current = {version.row.id: version for version in versions.after("", "Strong")}
    chunks = _count_rows(client, names.chunks)
    for identity, version in current.items():
        found = chunks[identity, version.number]
        if found != version.row.chunks:
            problems.append(
                Problem(f"document {identity!r} has {found} chunks, not {version.row.chunks}", repairable=False)
            )
    stale = _stale(client, names, {(identity, version.number) for identity, version in current.items()})
    if stale:
        problems.append(Problem(f"{len(stale)} versions of documents are superseded or unfinished", repairable=True))
    return problems


def repair(client: Client, names: Names, versions: Versions) -> list[Problem]:
    current = {(version.row.id, version.number) for version in versions.after("", "Strong")}
    for identity, number in _stale(client, names, current):
        where = f"document == {literal(identity)} and version == {number}"
        for name in (names.documents, names.chunks, names.texts):
            client.delete(name, where)
    return verify(client, names, versions)


def _stale(client: Client, names: Names, current: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return the stored versions that are not current and too old to be still being written."""
    there = {key for name in (names.documents, names.chunks, names.texts) for key in _count_rows(client, name)}
    return {(identity, number) for identity, number in there - current if age_s(number) > _WRITING_S}


def _count_rows(client: Client, name: str) -> Counter[tuple[str, int]]:
    """(document id, version) -> its rows in a collection of Milvus."""
    rows = (row for page in client.pages(name, "", _KEYS, consistency="Strong") for row in page)
    return Counter((row["document"], row["version"]) for row in rows)
