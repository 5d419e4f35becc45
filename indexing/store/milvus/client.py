"""The connection to a Milvus; its errors are raised as ours."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from indexing.errors import IndexingError, UnknownCollectionError
from indexing.settings import MilvusSettings
from services.errors import UnavailableError

logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs each error that it raises, with its trace

Row = dict[str, Any]
Consistency = Literal["Strong", "Session"]
_NOT_FOUND = 100
_UNREACHABLE = re.compile("connect|unavailable|timeout|deadline", re.IGNORECASE)
"""In messages of pymilvus, whose errors have no code for it."""
ROWS = 1000
"""Rows of one request: 16 MB with vectors of 4096 dimensions."""


class Client:
    """For any thread."""

    def __init__(self, settings: MilvusSettings) -> None:
        """Raises UnavailableError."""
        self.uri = settings.uri
        self._timeout_s = settings.timeout_s
        uri = settings.uri
        if "://" not in uri:  # Milvus Lite, in this process
            uri = str(Path(uri).expanduser().absolute())
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
        token = settings.token.get_secret_value() if settings.token else ""
        with self._translated():
            self._milvus = MilvusClient(uri, token=token, db_name=settings.database, timeout=settings.timeout_s)

    @property
    def is_lite(self) -> bool:
        return "lite" in self.version()

    def version(self) -> str:
        with self._translated():
            return str(self._milvus.get_server_version())

    def has(self, name: str) -> bool:
        with self._translated():
            return bool(self._milvus.has_collection(name))

    def create(self, name: str, schema: Any, indexes: Any) -> None:
        with self._translated():
            if not self._milvus.has_collection(name):
                self._milvus.create_collection(name, schema=schema, consistency_level="Session")
            self._milvus.create_index(name, indexes, sync=False)
            self._milvus.load_collection(name)

    def load(self, name: str) -> None:
        with self._translated():
            self._milvus.load_collection(name)

    def drop(self, name: str) -> None:
        with self._translated():
            self._milvus.drop_collection(name)

    def upsert(self, name: str, rows: Sequence[Row]) -> None:
        with self._translated():
            for start in range(0, len(rows), ROWS):
                self._milvus.upsert(name, list(rows[start : start + ROWS]), timeout=self._timeout_s)

    def delete(self, name: str, where: str) -> None:
        with self._translated():
            self._milvus.delete(name, filter=where, timeout=self._timeout_s)

    def query(
        self,
        name: str,
        where: str,
        fields: Sequence[str],
        consistency: Consistency = "Session",
        *,
        limit: int | None = None,
    ) -> list[Row]:
        with self._translated():
            found = self._milvus.query(
                name, filter=where, output_fields=list(fields), consistency_level=consistency, timeout=self._timeout_s,
                **({"limit": limit} if limit else {}),
            )  # fmt: skip
        return list(found)

    def count(self, name: str) -> int:
        return int(self.query(name, "", ["count(*)"])[0]["count(*)"])

    def pages(
        self, name: str, where: str, fields: Sequence[str], *, rows: int = ROWS, consistency: Consistency = "Session"
    ) -> Iterator[list[Row]]:
        """All matching rows, in the order of their primary keys."""
        with self._translated():
            iterator = self._milvus.query_iterator(
                name, batch_size=rows, filter=where, output_fields=list(fields),
                consistency_level=consistency, timeout=self._timeout_s,
            )  # fmt: skip
        try:
            while True:
                with self._translated():
                    page = list(iterator.next())
                if not page:
                    return
                yield page
        finally:
            iterator.close()

    def search(self, name: str, column: str, query: Any, *, limit: int, where: str, fields: Sequence[str]) -> list[Row]:
        """Hits {id, distance, entity}, best first."""
        with self._translated():
            found = self._milvus.search(
                name, data=[query], anns_field=column, limit=limit, filter=where, output_fields=list(fields),
                consistency_level="Session", timeout=self._timeout_s,
            )  # fmt: skip
        return list(found[0])

    def close(self) -> None:
        self._milvus.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except MilvusException as exc:
            if exc.code == _NOT_FOUND:
                raise UnknownCollectionError(
                    f"Milvus at {self.uri}: {exc.message}; another process deleted it"
                ) from exc
            if _UNREACHABLE.search(exc.message):
                raise UnavailableError(
                    f"no Milvus answers at {self.uri} ({exc.message}): start it, or set milvus.uri", retry_after=5
                ) from exc
            raise IndexingError(f"Milvus at {self.uri} refuses: {exc.message}") from exc
