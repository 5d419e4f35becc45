"""Documents that come over HTTP: on disk before they are acknowledged, indexed by one worker, kept over a restart."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.documents.library import Library
from app.documents.spool import Spool, Submission
from app.settings import AppSettings
from indexing.document import Document
from indexing.errors import UnknownJobError
from indexing.store.jobs import Job
from indexing.sync.indexer import Indexer, manifest_of
from services.client import EmbedClient
from services.errors import NotFoundError, OverloadedError, RaglineError, UnavailableError

log = logging.getLogger(__name__)

MAX_WAITING = 1000
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Accepted:
    job_id: str
    already_existed: bool


class Ingest:
    def __init__(self, settings: AppSettings, library: Library, embedder: EmbedClient) -> None:
        self._settings = settings
        self._library = library
        self._embedder = embedder
        self._spool = Spool(settings.data_dir / "uploads")
        self._indexers: dict[str, Indexer] = {}
        self._waiting: asyncio.Queue[Path] = asyncio.Queue()
        self._indexing = asyncio.Lock()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the worker; it starts with what an earlier process acknowledged and did not finish."""
        for folder in await self._library.run(self._spool.unfinished):
            self._waiting.put_nowait(folder)
        worker = asyncio.create_task(self._work())
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
            for indexer in self._indexers.values():
                await indexer.aclose()

    async def submit(self, submission: Submission, content: bytes) -> Accepted:
        """Store a submission durably and queue it. Raises OverloadedError past MAX_WAITING, StorageError."""
        if self._waiting.qsize() >= MAX_WAITING:
            raise OverloadedError(f"{MAX_WAITING} documents wait to be indexed; try again later", retry_after=30)
        try:
            store = await self._library.store(submission.collection)
        except NotFoundError:
            await self.create(submission.collection)
            store = await self._library.store(submission.collection)
        existed = await self._library.run(store.document, submission.document_id) is not None
        job_id = await self._library.run(store.job_create, "text" if submission.is_text else "upload", 1)
        folder = await self._library.run(self._spool.put, replace(submission, job_id=job_id), content)
        self._waiting.put_nowait(folder)
        return Accepted(job_id, existed)

    async def create(self, collection: str) -> None:
        """Create an empty collection for the model of the embed service."""
        await self._library.create(collection, await manifest_of(self._embedder, self._settings.index))

    async def drop(self, collection: str) -> None:
        """Delete a collection and the submissions queued for it. Raises NotFoundError."""
        if indexer := self._indexers.pop(collection, None):
            await indexer.aclose()
        async with self._indexing:
            await self._library.drop(collection)

    async def job(self, job_id: str) -> Job:
        """Find a job in all collections. Raises NotFoundError."""
        for collection in await self._library.names():
            with suppress(RaglineError):  # UnknownJobError, and a collection that cannot be opened
                return await self._library.job(collection, job_id)
        raise NotFoundError(f"no job {job_id!r} in any collection", param="job_id")

    async def _work(self) -> None:
        while True:
            folder = await self._waiting.get()
            try:
                while not await self._index(folder):  # noqa: ASYNC110  what is waited for is another process
                    await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("%s could not be indexed; the next start tries it again", folder)

    async def _index(self, folder: Path) -> bool:
        """Index one submission; return False where a service is unavailable and it must be retried."""
        submission = await self._library.run(self._spool.read, folder)
        async with self._indexing:
            try:
                store = await self._library.store(submission.collection)
            except NotFoundError:  # the collection was deleted meanwhile
                await self._library.run(self._spool.remove, folder)
                return True
            outcome: dict[str, Any]
            try:
                chunks = await _add(await self._indexer(submission.collection), folder / "content", submission)
            except RaglineError as exc:
                if isinstance(exc, UnavailableError | OverloadedError):  # a deadline, too: it is tried again
                    log.warning("job %s waits: %s", submission.job_id, exc)
                    return False
                failure = (submission.name or submission.document_id, str(exc))
                outcome = {"state": "failed", "failures": [failure]}
            else:
                outcome = {"state": "done", "done": 1, "chunks": chunks}
            with suppress(UnknownJobError):  # it was cleared, or its collection restored
                await self._library.run(store.job_update, submission.job_id, **outcome)
            await self._library.run(self._spool.remove, folder)
        return True

    async def _indexer(self, collection: str) -> Indexer:
        """Return the collection's indexer. Raises IndexMismatchError where it was built with other settings."""
        if collection not in self._indexers:
            store = await self._library.store(collection)
            wanted = await manifest_of(self._embedder, self._settings.index)
            store.manifest.check(wanted, Path(collection))
            self._indexers[collection] = Indexer(store, self._embedder, self._settings.index)
        return self._indexers[collection]


async def _add(indexer: Indexer, content: Path, submission: Submission) -> int:
    """Parse, chunk, embed and store a submission; return its number of chunks."""
    if not submission.is_text:
        return await indexer.upload(
            content,
            submission.name,
            document_id=submission.document_id,
            title=submission.title,
            metadata=submission.metadata,
        )
    raw = await asyncio.to_thread(content.read_bytes)
    return await indexer.add(
        Document(
            id=submission.document_id,
            source=submission.name or submission.document_id,
            title=submission.title or submission.name or submission.document_id,
            text=raw.decode(),
            media_type="text/markdown",
            metadata=submission.metadata,
            pages=(),
            content_hash=hashlib.sha256(raw).hexdigest(),
        )
    )
