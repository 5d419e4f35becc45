"""Keeps answers: the same question over an unchanged index is answered at once, with the words that it was before."""

import json
from collections import OrderedDict
from hashlib import blake2b
from typing import Any

from app.answer.passages import Query
from app.documents.library import Library
from app.http.metrics import AppMetrics
from app.http.schema import AskBody
from app.settings import AppSettings

Event = tuple[str, dict[str, Any]]
"""A server-sent event: its name, and its data."""
DEFAULT_ENTRIES = 1000


class AnswerCache:
    """The answers that were asked for last, within `ask.cache_entries` and `ask.cache_bytes`.

    Settings are not part of a key, for they stay while the process lives. Used on the event loop only.
    """

    def __init__(self, settings: AppSettings, library: Library, metrics: AppMetrics) -> None:
        entries = settings.ask.cache_entries
        self._most = (0 if settings.server.api_key else DEFAULT_ENTRIES) if entries is None else entries
        self._most_bytes = settings.ask.cache_bytes
        self._library = library
        self._metrics = metrics
        self._kept = OrderedDict[bytes, bytes]()
        self._bytes = 0

    async def key(self, body: AskBody, query: Query) -> bytes | None:
        """Return what an answer is kept under: all that it depends on. None where none is kept."""
        version = await self._library.version(query.collection) if self._most else None
        if version is None:
            return None
        asked = body.model_dump(exclude={"stream", "collection"})
        return blake2b(json.dumps([version, query.collection, asked], sort_keys=True).encode()).digest()

    def find(self, key: bytes | None) -> list[Event] | None:
        if key is None:
            return None
        found = self._kept.get(key)
        self._metrics.cache_queries.inc()
        if found is None:
            return None
        self._metrics.cache_hits.inc()
        self._kept.move_to_end(key)
        return [(name, data) for name, data in json.loads(found)]

    def keep(self, key: bytes | None, events: list[Event]) -> None:
        """Keep a whole answer, unless a stage was left out of it; the one that was not asked for longest goes."""
        *_, (_, done) = events
        if key is None or done["degraded"] or done["finish_reason"] == "error":
            return
        self._bytes -= len(self._kept.pop(key, b""))
        self._kept[key] = json.dumps(events, ensure_ascii=False).encode()
        self._bytes += len(self._kept[key])
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)
