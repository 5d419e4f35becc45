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
        self._builders: dict[str, Indexer] = {}
        self._waiting: asyncio.Queue[Path] = asyncio.Queue()
        self._indexing = asyncio.Lock()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The worker runs; first on what an earlier process acknowledged and did not finish."""
        for folder in await self._library.run(self._spool.left_over):
            self._waiting.put_nowait(folder)
        worker = asyncio.create_task(self._work())
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
            for builder in self._builders.values():
                await builder.aclose()

    async def submit(self, submission: Submission, content: bytes) -> Accepted:
        """Durable when it returns. Raises OverloadedError where too much waits, StorageError."""
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
        """An empty collection, for the embed service that runs."""
        await self._library.create(collection, await manifest_of(self._embedder, self._settings.index))

    async def drop(self, collection: str) -> None:
        """Delete a collection; what is on its way into it goes with it. Raises NotFoundError."""
        if builder := self._builders.pop(collection, None):
            await builder.aclose()
        async with self._indexing:
            await self._library.drop(collection)

    async def job(self, job_id: str) -> Job:
        """A job of any collection. Raises NotFoundError."""
        for collection in await self._library.names():
            with suppress(RaglineError):  # UnknownJobError, and a collection that cannot be opened
                store = await self._library.store(collection)
                return await self._library.run(store.job, job_id)
        raise NotFoundError(f"no job {job_id!r} in any collection", param="job_id")

    async def _work(self) -> None:
        while True:
            folder = await self._waiting.get()
            try:
                while not await self._done(folder):  # noqa: ASYNC110  what is waited for is another process
                    await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("%s is not indexed, and tried again at the next start", folder)

    async def _done(self, folder: Path) -> bool:
        """Index one submission; False where a service is away and it should be tried again."""
        submission = await self._library.run(self._spool.read, folder)
        async with self._indexing:
            try:
                store = await self._library.store(submission.collection)
            except NotFoundError:  # the collection was deleted meanwhile
                await self._library.run(self._spool.remove, folder)
                return True
            outcome: dict[str, Any]
            try:
                chunks = await _indexed(await self._builder(submission.collection), folder / "content", submission)
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

    async def _builder(self, collection: str) -> Indexer:
        """Raises IndexMismatchError where the collection was built for another model, or otherwise."""
        if collection not in self._builders:
            store = await self._library.store(collection)
            store.manifest.check(await manifest_of(self._embedder, self._settings.index), Path(collection))
            self._builders[collection] = Indexer(store, self._embedder, self._settings.index)
        return self._builders[collection]


async def _indexed(builder: Indexer, content: Path, submission: Submission) -> int:
    """Parse, chunk, embed, write; the number of chunks."""
    if not submission.is_text:
        return await builder.upload(
            content,
            submission.name,
            document_id=submission.document_id,
            title=submission.title,
            metadata=submission.metadata,
        )
    raw = await asyncio.to_thread(content.read_bytes)
    return await builder.add(
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
