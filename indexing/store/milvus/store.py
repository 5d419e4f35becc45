"""The store of one collection in Milvus."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from indexing.document import Hit, StoredChunk, passage
from indexing.store.analyzer import MAX_REPEATS, MAX_TERMS, analyzer, folded
from indexing.store.check import check_item, check_query
from indexing.store.database import Database
from indexing.store.filters import Filters
from indexing.store.interface import DocumentRow, DocumentStore, Item, Problem, Stats, Vectors
from indexing.store.manifest import Manifest
from indexing.store.milvus import maintenance, rows
from indexing.store.milvus.client import Client, Row
from indexing.store.milvus.expressions import among, expression, literal
from indexing.store.milvus.maintenance import MilvusInfo
from indexing.store.milvus.schema import SPARSE, VECTOR, Names
from indexing.store.milvus.versions import Versions, next_number, slices

_ATTEMPTS = 4
_SPARE = 16
_MAX_HITS = 16_384
"""Milvus returns no more."""
_HASHES = 200


class MilvusStore(DocumentStore):
    def __init__(self, name: str, client: Client, names: Names, manifest: Manifest, jobs: Database) -> None:
        self._name = name
        self._client = client
        self._names = names
        self._manifest = manifest
        self._jobs = jobs
        self._versions = Versions(client, names)
        self._analyzer = analyzer(manifest.language)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def put(self, items: Sequence[Item]) -> None:
        for item in items:
            check_item(*item, self._manifest)
        newest = {item[0].id: item for item in items}
        number = next_number(self._versions.current(newest, "Strong").values())
        chunks = [row for item in newest.values() for row in rows.chunk_rows(item, number, self._terms(item))]
        texts = [row for item in newest.values() for row in rows.text_rows(item[0], number)]
        documents = [rows.document_row(item, number) for item in newest.values()]
        self._client.upsert(self._names.chunks, chunks)
        self._client.upsert(self._names.texts, texts)
        self._client.upsert(self._names.documents, documents)
        self._versions.remove(newest, before=number)

    def delete(self, document_ids: Iterable[str]) -> int:
        there = self._versions.current(document_ids, "Strong")
        self._versions.remove(there, before=next_number(there.values()))
        return len(there)

    def move(self, document_id: str, source: str) -> bool:
        item = self.item(document_id)
        if item is None:
            return False
        document, chunks, vectors = item
        self.put([(replace(document, source=source), chunks, vectors)])
        return True

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

    def _current(self, found: Sequence[Row]) -> list[tuple[Row, DocumentRow]]:
        """The rows of chunks of current versions, with their documents."""
        versions = self._versions.current({row["document"] for row in found})
        return [
            (row, versions[row["document"]].row)
            for row in found
            if row["document"] in versions and versions[row["document"]].number == row["version"]
        ]

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        found = self._client.query(self._names.chunks, among("id", ids), rows.CHUNK) if ids else []
        stored = {row["id"]: rows.stored_chunk(row, document) for row, document in self._current(found)}
        return [stored[each] for each in ids if each in stored]

    def document_chunks(self, document_id: str) -> list[StoredChunk]:
        version = self._versions.current([document_id]).get(document_id)
        if version is None:
            return []
        return [
            rows.stored_chunk(row, version.row) for row in self._chunk_rows(document_id, version.number, rows.CHUNK)
        ]

    def _chunk_rows(self, document_id: str, version: int, fields: Sequence[str]) -> list[Row]:
        where = f"document == {literal(document_id)} and version == {version}"
        found = [row for page in self._client.pages(self._names.chunks, where, fields) for row in page]
        return sorted(found, key=lambda row: int(row["ordinal"]))

    def document(self, document_id: str) -> DocumentRow | None:
        version = self._versions.current([document_id]).get(document_id)
        return None if version is None else version.row

    def documents(self, cursor: str | None = None, limit: int = 100) -> tuple[list[DocumentRow], str | None]:
        versions = self._versions.after(cursor or "", rows=limit + 1)
        page = [version.row for version in islice(versions, limit + 1)]
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    def known(self) -> dict[str, tuple[str, str]]:
        every = (version.row for version in self._versions.after("", "Strong"))
        return {row.source: (row.id, row.content_hash) for row in every}

    def read_by_others(self, readers: Collection[str]) -> set[str]:  # noqa: ARG002 (it is not kept)
        return set()

    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str:
        version = self._versions.current([document_id]).get(document_id)
        if version is None:
            return ""
        start, end, _ = slice(start, end).indices(version.row.chars)
        if start >= end:
            return ""
        first, last = start // rows.BLOCK_CHARS, (end - 1) // rows.BLOCK_CHARS
        keys = [rows.text_key(document_id, version.number, block) for block in range(first, last + 1)]
        blocks: dict[str, str] = {}
        for some in slices(keys, 100):
            found = self._client.query(self._names.texts, among("key", some), ["key", "text"])
            blocks |= {row["key"]: row["text"] for row in found}
        joined = "".join(blocks[key] for key in keys)
        return joined[start - first * rows.BLOCK_CHARS : end - first * rows.BLOCK_CHARS]

    def vectors_for(self, hashes: Iterable[str]) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        for some in slices(sorted(set(hashes)), _HASHES):
            where = among("hash", some)
            for row in self._client.query(self._names.chunks, where, ["hash", VECTOR], limit=10 * _HASHES):
                found[row["hash"]] = np.array(row[VECTOR], np.float32)
        return found

    def item(self, document_id: str) -> Item | None:
        version = self._versions.current([document_id]).get(document_id)
        if version is None:
            return None
        found = self._chunk_rows(document_id, version.number, [*rows.CHUNK, VECTOR])
        vectors = np.array([row[VECTOR] for row in found], np.float32).reshape(len(found), self._manifest.dimension)
        document = rows.read_document(version.row, self.text(document_id))
        return document, [rows.read_chunk(row) for row in found], vectors

    def stats(self) -> Stats:
        return Stats(self._client.count(self._names.documents), self._client.count(self._names.chunks))

    def info(self) -> MilvusInfo:
        stats = self.stats()
        return MilvusInfo(self._manifest, stats.documents, stats.chunks, self._client.uri, self._client.version())

    def verify(self) -> list[Problem]:
        return maintenance.verify(self._client, self._names, self._versions)

    def repair(self) -> list[Problem]:
        return maintenance.repair(self._client, self._names, self._versions)

    def close(self) -> None:
        self._jobs.close()

    def _terms(self, item: Item) -> list[str]:
        """The BM25 terms of each chunk, joined by blanks."""
        texts = (passage(chunk.heading, chunk.text) for chunk in item[1])
        return [" ".join(self._analyzer.analyze(folded(text))) for text in texts]

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._jobs.reading()

    def _writing_jobs(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._jobs.writing()

    def _lease_path(self, job_id: str) -> Path:
        return self._jobs.path.with_name(f"{self._name}.lock.job-{job_id}")
