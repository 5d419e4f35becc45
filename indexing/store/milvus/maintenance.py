"""What a collection in Milvus holds; finds missing chunks, and deletes what dead writers left."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from indexing.store.interface import Info, Problem
from indexing.store.milvus.client import Client
from indexing.store.milvus.expressions import literal
from indexing.store.milvus.rows import Version, document_key, read_version
from indexing.store.milvus.schema import Names
from indexing.store.milvus.versions import Versions, age_s, blocks, is_move

_WRITING_S = 3600.0
"""A version that is younger may still be being written."""
_KEYS = ("document", "version")


@dataclass(frozen=True, slots=True)
class MilvusInfo(Info):
    milvus: str
    """Address of the Milvus."""
    milvus_version: str


_INDEX_AGAIN = "index its file again"
_LISTED = 20
"""Ids in one problem."""


def verify(client: Client, names: Names, versions: Versions) -> list[Problem]:
    return _problems(*_read(client, names, versions))


def repair(client: Client, names: Names, versions: Versions) -> tuple[list[Problem], list[Problem]]:
    """Delete what nobody writes or reads, and make the next run index the files of documents that have lost a part."""
    counts, current = _read(client, names, versions)
    for identity, number in counts.stale(current):
        where = f"document == {literal(identity)} and version == {number}"
        for name in (names.documents, names.chunks, names.texts):
            client.delete(name, where)
    for version in current:
        if any(counts.missing(version)):
            key = document_key(version.row.id, version.number)
            for row in client.query(names.documents, f"key == {literal(key)}", ["*"], "Strong"):
                client.upsert(names.documents, [{**row, "content_hash": ""}])  # which is that of no file
    return _problems(counts, current), verify(client, names, versions)


def _read(client: Client, names: Names, versions: Versions) -> tuple["_Counts", list[Version]]:
    counts = _Counts.of(client, names)
    return counts, [read_version(row) for row in versions.after("", "Strong")]


def _problems(counts: "_Counts", current: list[Version]) -> list[Problem]:
    problems = [
        Problem(what, repairable=bool(version.row.content_hash), otherwise=_INDEX_AGAIN)
        for version in current
        for what in counts.missing(version)
    ]
    if stale := counts.stale(current):
        text = f"{len(stale)} versions of documents are superseded or unfinished"
        if lost := sorted({identity for identity, _ in stale} - {version.row.id for version in current}):
            more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
            text += f"; nothing else is there of {', '.join(map(repr, lost[:_LISTED]))}{more}: where that is missed, "
            text += _INDEX_AGAIN
        problems.append(Problem(text, repairable=True))
    return problems


@dataclass(frozen=True, slots=True)
class _Counts:
    """(document id, version) -> its rows in each collection of Milvus."""

    documents: Counter[tuple[str, int]]
    chunks: Counter[tuple[str, int]]
    texts: Counter[tuple[str, int]]

    @classmethod
    def of(cls, client: Client, names: Names) -> "_Counts":
        return cls(*(_count_rows(client, name) for name in (names.documents, names.chunks, names.texts)))

    def missing(self, version: Version) -> Iterator[str]:
        key, row = (version.row.id, version.number), version.row
        if key in self.documents:  # else it was written since the rows were counted
            for what, found, wanted in (
                ("chunks", self.chunks[key], row.chunks),
                ("blocks of text", self.texts[key], blocks(row.chars)),
            ):
                if found != wanted:
                    yield f"document {row.id!r} has {found} {what}, not {wanted}"

    def stale(self, current: Iterable[Version]) -> set[tuple[str, int]]:
        """Return the versions that are not current, and too old to be still being written.

        `current` is read after the rows are counted, so that a version which was completed since is not stale. A move
        has about the number of the version that it moves: it stays as long as that one is current.
        """
        numbers = {version.row.id: version.number for version in current}
        return {
            (identity, number)
            for identity, number in self.documents.keys() | self.chunks.keys() | self.texts.keys()
            if age_s(number) > _WRITING_S
            and number != numbers.get(identity)
            and not (identity in numbers and is_move(number, [numbers[identity]]))
        }


def _count_rows(client: Client, name: str) -> Counter[tuple[str, int]]:
    """(document id, version) -> its rows in a collection of Milvus."""
    rows = (row for page in client.pages(name, "", _KEYS, consistency="Strong") for row in page)
    return Counter((row["document"], row["version"]) for row in rows)
