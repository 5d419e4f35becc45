"""The store of one collection in Milvus."""

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from indexing.document import RECORD, Hit, StoredChunk, passage
from indexing.errors import DamagedIndexError, IndexBusyError
from indexing.store.analyzer import MAX_REPEATS, MAX_TERMS, analyzer, folded
from indexing.store.check import check_item, check_query
from indexing.store.database import Database
from indexing.store.filters import Filters
from indexing.store.interface import DocumentRow, DocumentStore, Item, Known, Problem, Stats, Vectors, after_all
from indexing.store.jobs import JobStore
from indexing.store.manifest import Manifest
from indexing.store.milvus import maintenance, rows
from indexing.store.milvus.client import Client, Consistency, Row
from indexing.store.milvus.expressions import among, any_of, expression, literal
from indexing.store.milvus.maintenance import MilvusInfo
from indexing.store.milvus.rows import Version
from indexing.store.milvus.schema import SPARSE, VECTOR, Names
from indexing.store.milvus.versions import Versions, is_move, move_number, next_number, slices

T = TypeVar("T")

_ATTEMPTS = 4
_BUSY_S = 60.0
"""So long a document is read again that other writers replace again and again."""
_SPARE = 16
_MAX_HITS = 16_384
"""Milvus returns no more."""
_HASHES = 200
_KNOWN = ("document", "version", "source", "content_hash")


class MilvusJobs(JobStore):
    """The jobs of a collection that ran on this machine."""

    def __init__(self, name: str, jobs: Database) -> None:
        self._name = name
        self._jobs = jobs

    def close(self) -> None:
        self._jobs.close()

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._jobs.reading()

    def _writing_jobs(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._jobs.writing()

    def _lease_path(self, job_id: str) -> Path:
        return self._jobs.path.with_name(f"{self._name}.lock.job-{job_id}")


class MilvusStore(MilvusJobs, DocumentStore):
    def __init__(self, name: str, client: Client, names: Names, manifest: Manifest, jobs: Database) -> None:
        super().__init__(name, jobs)
        self._client = client
        self._names = names
        self._manifest = manifest
        self._versions = Versions(client, names)
        self._analyzer = analyzer(manifest.language)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def put(self, items: Sequence[Item], made_for: Manifest | None = None) -> None:
        self._manifest.check_made_for(made_for, Path(self._name))
        for item in items:
            check_item(*item, self._manifest)
        newest = {item[0].id: item for item in items}
        seen = [row for found in self._versions.complete(newest).values() for row in found]
        self._write(list(newest.values()), next_number(row["version"] for row in seen))
        self._versions.remove(seen)

    def _write(self, items: Sequence[Item], number: int) -> None:
        """The rows of the documents are last: they complete the versions."""
        chunks = [row for item in items for row in rows.chunk_rows(item, number, self._terms(item))]
        texts = [row for item in items for row in rows.text_rows(item[0], number)]
        documents = [rows.document_row(item, number) for item in items]
        self._client.upsert(self._names.chunks, chunks)
        self._client.upsert(self._names.texts, texts)
        self._client.upsert(self._names.documents, documents)

    def delete(self, document_ids: Iterable[str]) -> int:
        found = self._versions.complete(document_ids)
        count = len(found)
        while found:
            self._versions.remove([row for each in found.values() for row in each[:-1]])  # else they were current next
            self._versions.remove([each[-1] for each in found.values()], current=True)
            gone = {document: [row["version"] for row in each] for document, each in found.items()}
            moved = {
                document: [row for row in each if is_move(row["version"], gone[document])]
                for document, each in self._versions.complete(gone).items()
            }
            found = {document: each for document, each in moved.items() if each}
        return count

    def move(self, document_id: str, source: str) -> bool:
        read = self._whole(document_id, self._item, "Strong")
        if read is None:
            return False
        version, (document, chunks, vectors) = read
        number = move_number(version.number)
        self._write([(replace(document, source=source), chunks, vectors)], number)
        found = self._versions.complete([document_id]).get(document_id, [])
        others = [row for row in found if row["version"] != number]
        if others and others[-1]["version"] < number:
            self._versions.remove(others)
        else:  # overtaken by a put, or deleted
            self._versions.remove([row for row in found if row["version"] == number], current=not others)
        return bool(others)

    def search_dense(self, vector: Vectors, k: int, filters: Filters | None = None) -> list[Hit]:
        query = check_query(vector, self._manifest, self._name)
        return self._search(VECTOR, query.tolist(), k, filters)

    def search_sparse(self, text: str, k: int, filters: Filters | None = None) -> list[Hit]:
        counts = Counter(self._analyzer.analyze(folded(text)))
        words = [word for word, count in counts.items() for _ in range(min(count, MAX_REPEATS))][:MAX_TERMS]
        if not words:
            return []
        hits = self._search(SPARSE, " ".join(words), k, filters)
        return [Hit(hit.chunk_id, abs(hit.score)) for hit in hits]  # Milvus Lite gives them as distances

    def _search(self, column: str, query: Any, k: int, filters: Filters | None) -> list[Hit]:
        """Drops hits of versions that are not current, and asks for more until there are k."""
        where = expression(filters) if filters else ""
        limit = min(k + _SPARE, _MAX_HITS)
        for _ in range(_ATTEMPTS):
            found = self._client.search(
                self._names.chunks, column, query, limit=limit, where=where, fields=["document", "version"]
            )
            kept = self._current([{**hit["entity"], **hit} for hit in found])
            if len(kept) >= k or len(kept) == len(found) < limit:
                break
            limit = min(limit * 4, _MAX_HITS)
        return [Hit(row["id"], row["distance"]) for row, _ in kept[:k]]

    def _current(
        self,
        found: Sequence[Row],
        fields: Sequence[str] = ("document", "version"),
        consistency: Consistency = "Session",
    ) -> list[tuple[Row, Row]]:
        """The rows of current versions, with these fields of their documents."""
        newest = self._versions.newest({row["document"] for row in found}, fields, consistency)
        return [
            (row, newest[row["document"]])
            for row in found
            if row["document"] in newest and newest[row["document"]]["version"] == row["version"]
        ]

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        found = self._client.query(self._names.chunks, among("id", ids), rows.CHUNK) if ids else []
        stored = {
            row["id"]: rows.stored_chunk(row, of["source"], of["title"], json.loads(of["metadata"]))
            for row, of in self._current(found, rows.CITED)
        }
        return [stored[each] for each in ids if each in stored]

    def document_chunks(self, document_id: str) -> list[StoredChunk]:
        return self._whole(document_id, self._chunks) or []

    def _chunks(self, version: Version, consistency: Consistency) -> list[StoredChunk] | None:
        found, of = self._chunk_rows(version, rows.CHUNK, consistency), version.row
        return None if found is None else [rows.stored_chunk(row, of.source, of.title, of.metadata) for row in found]

    def _chunk_rows(self, version: Version, fields: Sequence[str], consistency: Consistency) -> list[Row] | None:
        """By ordinal; None where some are missing."""
        where = f"document == {literal(version.row.id)} and version == {version.number}"
        pages = self._client.pages(self._names.chunks, where, fields, consistency=consistency)
        found = sorted((row for page in pages for row in page), key=lambda row: int(row["ordinal"]))
        return found if len(found) == version.row.chunks else None

    def document(self, document_id: str) -> DocumentRow | None:
        version = self._versions.current(document_id)
        return None if version is None else version.row

    def documents(self, cursor: str | None = None, limit: int = 100) -> tuple[list[DocumentRow], str | None]:
        versions = self._versions.after(cursor or "", rows=limit + 1)
        page = [rows.read_version(row).row for row in islice(versions, limit + 1)]
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    def known(
        self, *, files: Collection[str] = (), hashes: Collection[str] = (), ids: Collection[str] = ()
    ) -> list[Known]:
        wanted = [among("content_hash", some) for some in slices(list(hashes), _HASHES)]
        wanted += [among("document", some) for some in slices(list(ids), _HASHES)]
        for some in slices(list(files), _HASHES):
            wanted.append(any_of([among("source", some), *(_below(file + RECORD) for file in some)]))
        found = [row for where in wanted for row in self._client.query(self._names.documents, where, _KNOWN, "Strong")]
        return self._known(found)

    def known_below(self, prefix: str) -> Iterator[Known]:
        where = _below(prefix) if prefix else ""
        for page in self._client.pages(self._names.documents, where, _KNOWN, consistency="Strong"):
            yield from self._known(page)

    def _known(self, found: Sequence[Row]) -> list[Known]:
        kept = self._current(found, _KNOWN, "Strong")
        return [Known(row["source"], row["document"], row["content_hash"], reader="") for row, _ in kept]

    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str:
        return self._whole(document_id, lambda version, as_of: self._text(version, as_of, start, end)) or ""

    def _text(self, version: Version, consistency: Consistency, start: int = 0, end: int | None = None) -> str | None:
        """None where a part is missing."""
        start, end, _ = slice(start, end).indices(version.row.chars)
        if start >= end:
            return ""
        first, last = start // rows.BLOCK_CHARS, (end - 1) // rows.BLOCK_CHARS
        keys = [rows.text_key(version.row.id, version.number, block) for block in range(first, last + 1)]
        found: dict[str, str] = {}
        for some in slices(keys, 100):
            read = self._client.query(self._names.texts, among("key", some), ["key", "text"], consistency)
            found |= {row["key"]: row["text"] for row in read}
        if len(found) < len(keys):
            return None
        joined = "".join(found[key] for key in keys)
        return joined[start - first * rows.BLOCK_CHARS : end - first * rows.BLOCK_CHARS]

    def vectors_for(self, hashes: Iterable[str]) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        for some in slices(sorted(set(hashes)), _HASHES):
            where = among("hash", some)
            for row in self._client.query(self._names.chunks, where, ["hash", VECTOR], limit=10 * _HASHES):
                found[row["hash"]] = np.array(row[VECTOR], np.float32)
        return found

    def item(self, document_id: str) -> Item | None:
        read = self._whole(document_id, self._item, "Strong")
        return None if read is None else read[1]

    def _item(self, version: Version, consistency: Consistency) -> tuple[Version, Item] | None:
        found = self._chunk_rows(version, [*rows.CHUNK, VECTOR], consistency)
        text = self._text(version, consistency)
        if found is None or text is None:
            return None
        vectors = np.array([row[VECTOR] for row in found], np.float32).reshape(len(found), self._manifest.dimension)
        return version, (rows.read_document(version.row, text), [rows.read_chunk(row) for row in found], vectors)

    def _whole(
        self, document_id: str, read: Callable[[Version, Consistency], T | None], consistency: Consistency = "Session"
    ) -> T | None:
        """What `read` gives for the current version; None where there is no such document.

        Where `read` gives None a part is missing: another writer has replaced or deleted the version, and what is
        current now is read. A version that is still current has lost the part. Raises DamagedIndexError,
        IndexBusyError.
        """
        deadline, pause_s, broken = time.monotonic() + _BUSY_S, 0.001, None
        while (version := self._versions.current(document_id, consistency)) is not None:
            found = read(version, consistency)
            if found is not None:
                return found
            if broken == version.number:
                raise DamagedIndexError(
                    f"document {document_id!r} has lost a part: run `ragline index repair`, then index its file again"
                )
            if time.monotonic() > deadline:
                raise IndexBusyError(f"other writers replace document {document_id!r} all the time: try again later")
            if consistency == "Strong":  # else the part may be there, and this session not have seen it yet
                broken = version.number
            consistency = "Strong"
            time.sleep(random.uniform(0, pause_s))  # noqa: S311 (no secret)
            pause_s = min(2 * pause_s, 0.5)
        return None

    def version(self) -> None:
        """Milvus has no number that each change raises, and what a session reads may be older than one would say."""

    def stats(self) -> Stats:
        return Stats(self._client.count(self._names.documents), self._client.count(self._names.chunks))

    def info(self) -> MilvusInfo:
        stats = self.stats()
        return MilvusInfo(self._manifest, stats.documents, stats.chunks, self._client.uri, self._client.version())

    def verify(self) -> list[Problem]:
        return maintenance.verify(self._client, self._names, self._versions)

    def repair(self) -> tuple[list[Problem], list[Problem]]:
        return maintenance.repair(self._client, self._names, self._versions)

    def _terms(self, item: Item) -> list[str]:
        """The BM25 terms of each chunk, joined by blanks."""
        texts = (passage(chunk.heading, chunk.text) for chunk in item[1])
        return [" ".join(self._analyzer.analyze(folded(text))) for text in texts]


def _below(prefix: str) -> str:
    """The condition that a source begins with a prefix."""
    return f"source >= {literal(prefix)} and source < {literal(after_all(prefix))}"
