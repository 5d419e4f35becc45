"""Documents that come over HTTP: on disk before they are acknowledged, indexed by one worker, kept over a restart."""

import asyncio
import hashlib
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.library import Library
from app.settings import AppSettings
from indexing.builder import Builder, manifest_of
from indexing.document import Document, Scalar
from indexing.errors import UnknownJobError
from indexing.store import Job
from services.client import EmbedClient
from services.errors import NotFoundError, OverloadedError, RaglineError

log = logging.getLogger(__name__)

MAX_WAITING = 1000
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Submission:
    """What was sent: an upload (`name`, its bytes beside it) or a text (`name` is its URL, or empty)."""

    collection: str
    document_id: str
    name: str
    title: str
    is_text: bool
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    job_id: str
    already_existed: bool


class Ingest:
    def __init__(self, settings: AppSettings, library: Library, embedder: EmbedClient) -> None:
        self._settings = settings
        self._library = library
        self._embedder = embedder
        self._spool = settings.data_dir / "uploads"
        self._builders: dict[str, Builder] = {}
        self._opening = asyncio.Lock()
        self._waiting: asyncio.Queue[Path] = asyncio.Queue()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The worker runs; first on what an earlier process acknowledged and did not finish."""
        for folder in await self._library.run(_left_over, self._spool):
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
        """Durable when it returns. Raises OverloadedError where too much waits."""
        if self._waiting.qsize() >= MAX_WAITING:
            raise OverloadedError(f"{MAX_WAITING} documents wait to be indexed; try again later", retry_after=30)
        await self.builder(submission.collection)
        store = await self._library.store(submission.collection)
        existed = await self._library.run(store.document, submission.document_id) is not None
        kind = "text" if submission.is_text else "upload"
        job_id = await self._library.run(store.job_create, kind, 1)
        folder = self._spool / job_id
        await self._library.run(_spool, folder, {**asdict(submission), "job_id": job_id}, content)
        self._waiting.put_nowait(folder)
        return Accepted(job_id, existed)

    async def builder(self, collection: str) -> Builder:
        """The builder of a collection, which is made where it is not there."""
        async with self._opening:
            if collection not in self._builders:
                await self._made(collection)
                store = await self._library.store(collection)
                self._builders[collection] = Builder(store, self._embedder, self._settings.index)
            return self._builders[collection]

    async def forget(self, collection: str) -> None:
        """Before a collection is deleted."""
        async with self._opening:
            if builder := self._builders.pop(collection, None):
                await builder.aclose()

    async def job(self, job_id: str) -> Job:
        """A job of any collection. Raises NotFoundError."""
        for collection in await self._library.names():
            store = await self._library.store(collection)
            with suppress(UnknownJobError):
                return await self._library.run(store.job, job_id)
        raise NotFoundError(f"no job {job_id!r} in any collection", param="job_id")

    async def _made(self, collection: str) -> None:
        if collection not in await self._library.names():
            manifest = await manifest_of(self._embedder, self._settings.index)
            await self._library.create(collection, manifest)

    async def _work(self) -> None:
        while True:
            folder = await self._waiting.get()
            while not await self._done(folder):  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(RETRY_S)

    async def _done(self, folder: Path) -> bool:
        """Index one submission; False where a service is away and it should be tried again."""
        submission = Submission(**json.loads((folder / "submission.json").read_text()))
        try:
            builder = await self.builder(submission.collection)
            store = await self._library.store(submission.collection)
        except NotFoundError:  # the collection was deleted meanwhile
            await self._library.run(shutil.rmtree, folder)
            return True
        except RaglineError as exc:
            log.warning("job %s waits: %s", submission.job_id, exc)
            return False
        try:
            chunks = await _indexed(builder, folder / "content", submission)
        except RaglineError as exc:
            if exc.status in {429, 503, 504}:
                log.warning("job %s waits: %s", submission.job_id, exc)
                return False
            failure = [(submission.name or submission.document_id, str(exc))]
            await self._library.run(store.job_update, submission.job_id, state="failed", failures=failure)
        else:
            await self._library.run(store.job_update, submission.job_id, state="done", done=1, chunks=chunks)
        await self._library.run(shutil.rmtree, folder)
        return True


async def _indexed(builder: Builder, content: Path, submission: Submission) -> int:
    """Parse, chunk, embed, write; the number of chunks."""
    if not submission.is_text:
        documents = await builder.upload(
            content, submission.name, document_id=submission.document_id, metadata=submission.metadata
        )
        return len(documents)
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


def _spool(folder: Path, submission: Mapping[str, object], content: bytes) -> None:
    """Both files, and then the folder's name, on disk."""
    half = folder.with_name(f".{folder.name}")
    half.mkdir(parents=True)
    for name, data in (("content", content), ("submission.json", json.dumps(submission).encode())):
        with (half / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    half.rename(folder)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _left_over(spool: Path) -> list[Path]:
    """Acknowledged and not finished, oldest first."""
    if not spool.is_dir():
        return []
    return sorted((f for f in spool.iterdir() if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime)
