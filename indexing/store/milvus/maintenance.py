"""Looking after a collection in Milvus: what writers left that died, and chunks that are not there."""

from collections import Counter
from dataclasses import dataclass

from indexing.store.interface import Info, Problem
from indexing.store.milvus.client import Client
from indexing.store.milvus.expressions import literal
from indexing.store.milvus.schema import Names
from indexing.store.milvus.versions import Versions, age_s

_WRITING_S = 3600.0
"""What is younger may be of a writer that is at it."""
_KEYS = ("document", "version")

Parts = Counter[tuple[str, int]]
"""How many rows there are of each version of a document."""


@dataclass(frozen=True, slots=True)
class MilvusInfo(Info):
    milvus: str
    """Its address."""
    milvus_version: str


def verify(client: Client, names: Names, versions: Versions) -> list[Problem]:
    problems = []
    current = {version.row.id: version for version in versions.after("", "Strong")}
    chunks = _parts(client, names.chunks)
    for identity, version in current.items():
        found = chunks[identity, version.number]
        if found != version.row.chunks:
            problems.append(
                Problem(f"document {identity!r} has {found} chunks, not {version.row.chunks}", repairable=False)
            )
    left = _left(client, names, {(identity, version.number) for identity, version in current.items()})
    if left:
        problems.append(Problem(f"{len(left)} versions of documents are superseded or unfinished", repairable=True))
    return problems


def repair(client: Client, names: Names, versions: Versions) -> list[Problem]:
    current = {(version.row.id, version.number) for version in versions.after("", "Strong")}
    for identity, number in _left(client, names, current):
        where = f"document == {literal(identity)} and version == {number}"
        for name in (names.documents, names.chunks, names.texts):
            client.delete(name, where)
    return verify(client, names, versions)


def _left(client: Client, names: Names, current: set[tuple[str, int]]) -> set[tuple[str, int]]:
    there = {key for name in (names.documents, names.chunks, names.texts) for key in _parts(client, name)}
    return {(identity, number) for identity, number in there - current if age_s(number) > _WRITING_S}


def _parts(client: Client, name: str) -> Parts:
    rows = (row for page in client.pages(name, "", _KEYS, consistency="Strong") for row in page)
    return Counter((row["document"], row["version"]) for row in rows)
