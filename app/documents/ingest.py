"""Documents that come over HTTP: on disk before they are acknowledged, indexed by one worker, kept over a restart.

received -> spooled, with its job, in one step -> tried until it is indexed, refused, replaced or deleted

What a document is refused for, its job says as failed. While the disk is full, a service is away or the collection is
another model's, the job says why it waits, and it is tried again. A document that fails for itself is set aside after
_TRIES, and kept for the next start.
"""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from app.documents.attempt import KINDS, RETRY_S, Indexers, create_job, end_job, put, reason, resume_job
from app.documents.library import Library
from app.documents.spool import Spool, Submission
from app.settings import AppSettings
from indexing.document import file_of
from indexing.store.interface import with_records
from indexing.store.jobs import Job, State
from indexing.sync.indexer import manifest_of
from indexing.sync.progress import Tally
from services.client import EmbedClient
from services.errors import ConflictError, NotFoundError, OverloadedError, RaglineError

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_WAITING = 1000
_MAX_RETRY_S = 60.0
_AT_ONCE = 2
"""A text of 60 MB takes four times as much memory while it is read."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Accepted:
    job_id: str
    already_existed: bool


@dataclass(slots=True, eq=False)
class _Waiting:
    """A submission in the spool."""

    folder: Path
    submission: Submission
    is_replayed: bool = False
    failures: int = 0
    """Its own, and not a service's."""
    delay_s: float = RETRY_S
    due: float = field(default_factory=time.monotonic)
    """Of time.monotonic(): when it is tried; inf once it is set aside. The first due is the first tried, so that those
    that are tried again leave their turn to those that never were."""
    message: str = ""
    """Why it waits."""
    adding: "asyncio.Task[Tally | Exception] | None" = None


class Ingest:
    def __init__(self, settings: AppSettings, library: Library, embedder: EmbedClient) -> None:
        self._settings = settings
        self._library = library
        self._embedder = embedder
        self.spool = Spool(settings.data_dir / "uploads")
        self._indexers = Indexers(settings, library, embedder)
        self._waiting: dict[str, _Waiting] = {}
        """By the job's id."""
        self._changing = asyncio.Lock()
        """Held while submissions come into the spool, or leave it."""
        self._changed = asyncio.Event()
        self.places = asyncio.Semaphore(_AT_ONCE)
        """For the uploads that have arrived, and are read and submitted."""

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the worker; it starts with what an earlier process acknowledged and did not finish."""
        for folder in await self._library.run(self.spool.unfinished):
            try:
                submission = await self._library.run(self.spool.read, folder)
            except (OSError, ValueError, TypeError):
                log.exception("%s is no submission, and stays as it is", folder)
            else:
                self._waiting[submission.job_id] = _Waiting(folder, submission, is_replayed=True)
        worker = asyncio.create_task(self._work())
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
            async with self._changing:
                await self._indexers.aclose()

    def check_room(self) -> None:
        """Raises OverloadedError where MAX_WAITING submissions wait."""
        if sum(each.due < math.inf for each in self._waiting.values()) >= MAX_WAITING:
            raise OverloadedError(f"{MAX_WAITING} documents wait to be indexed; try again later", retry_after=30)

    async def submit(self, submission: Submission, content: Path) -> Accepted:
        """Take a content that was received in the spool: durably, with its job, or not at all.

        A client that leaves does not interrupt it. Raises OverloadedError past MAX_WAITING, StorageError.
        """
        return await _uninterrupted(self._submit(submission, content))

    async def _submit(self, submission: Submission, content: Path) -> Accepted:
        await self._library.run(self.spool.sync, content)
        try:
            store = await self._library.store(submission.collection)
        except NotFoundError:
            await self.create(submission.collection)
            store = await self._library.store(submission.collection)
        existed = await self._library.run(store.document, submission.document_id) is not None
        submission = replace(submission, job_id=uuid.uuid4().hex)
        async with self._changing:
            self.check_room()
            folder = await self._library.run(self.spool.add, submission, content)
            try:
                await self._library.run(create_job, store, submission)
            except BaseException:
                await self._library.run(self.spool.remove, folder)
                raise
            self._waiting[submission.job_id] = _Waiting(folder, submission)
        self._changed.set()
        return Accepted(submission.job_id, existed)

    async def delete(self, collection: str, document_id: str) -> bool:
        """Delete a document, or all records of an upload with this id, and what waits to become it.

        False where there is none of them. Raises ConflictError for a record of a file that waits: it would come back.
        """
        return await _uninterrupted(self._delete(collection, document_id))

    async def _delete(self, collection: str, document_id: str) -> bool:
        async with self._changing:
            if (file := file_of(document_id)) != document_id and any(self._of(collection, file)):
                raise ConflictError(f"{file!r} waits to be indexed, with this record; delete it, or wait", param="id")
            waited = list(self._of(collection, document_id))
            for each in waited:
                await self._drop(each)
                await self._update(each, state="cancelled", message="the document was deleted before it was indexed")
            store = await self._library.store(collection)
            removed = await self._library.run(lambda: store.delete(with_records(store, document_id)))
        return bool(waited or removed)

    async def create(self, collection: str) -> None:
        """Create an empty collection for the model of the embed service."""
        await self._library.create(collection, await manifest_of(self._embedder, self._settings.index))

    async def drop(self, collection: str) -> None:
        """Delete a collection and the submissions that wait for it. Raises NotFoundError."""
        async with self._changing:
            for each in [each for each in self._waiting.values() if each.submission.collection == collection]:
                await self._drop(each)
            await self._indexers.forget(collection)
            await self._library.drop(collection)

    async def job(self, job_id: str) -> Job:
        """Find a job in all collections. Raises NotFoundError."""
        waiting = self._waiting.get(job_id)
        for collection in [waiting.submission.collection] if waiting else await self._library.names():
            with suppress(RaglineError):  # UnknownJobError, and a collection that cannot be opened
                job = await self._library.job(collection, job_id)
                if waiting is not None and job.state == "running":  # the disk may be too full to write it down
                    return replace(job, message=waiting.message or job.message)
                if waiting is None and job.state == "running" and job.kind in KINDS:
                    return replace(job, state="cancelled", message="nothing of it is in the server's spool")
                return job
        raise NotFoundError(f"no job {job_id!r} in any collection", param="job_id")

    def _of(self, collection: str, document_id: str) -> Iterator[_Waiting]:
        for each in self._waiting.values():
            if (each.submission.collection, each.submission.document_id) == (collection, document_id):
                yield each

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            first = min(self._waiting.values(), key=lambda each: each.due, default=None)
            delay_s = first.due - time.monotonic() if first else math.inf
            if first is None or delay_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(delay_s, _MAX_RETRY_S)):
                        await self._changed.wait()
                continue
            async with asyncio.TaskGroup() as group:
                first.adding = group.create_task(self._add(first))
            if not first.adding.cancelled():
                await self._conclude(first, first.adding.result())

    async def _add(self, entry: _Waiting) -> Tally | Exception:
        """Parse, chunk, embed and store a submission; returns the error, if any, that is no refusal of it."""
        submission = entry.submission
        try:
            if entry.is_replayed:
                store = await self._library.store(submission.collection)
                await self._library.run(resume_job, store, submission)
                entry.is_replayed = False
            return await put(await self._indexers.of(submission.collection), entry.folder / "content", submission)
        except RaglineError as exc:
            return exc
        except Exception as exc:
            log.exception("job %s failed", submission.job_id)
            return exc

    async def _conclude(self, entry: _Waiting, outcome: Tally | Exception) -> None:
        """Note the end of a try: the submission leaves the spool, or waits for the next one."""
        submission = entry.submission
        async with self._changing:
            if submission.job_id not in self._waiting:
                return  # deleted meanwhile
            try:
                if isinstance(outcome, Exception) or any(each.by_service for each in outcome.failures):
                    await self._postpone(entry, outcome)
                else:
                    await self._end(entry, outcome)
            except Exception as exc:  # of the disk, say
                log.exception("the end of job %s could not be noted", submission.job_id)
                await self._postpone(entry, exc)

    async def _end(self, entry: _Waiting, tally: Tally) -> None:
        """The submission is indexed, and older ones of its id with it, or it is refused."""
        submission = entry.submission
        if not tally.failures:
            for older in list(self._of(submission.collection, submission.document_id)):
                if older.folder.name < entry.folder.name:
                    await self._drop(older)
                    await self._update(older, state="cancelled", message="a newer upload replaced it")
        store = await self._library.store(submission.collection)
        await self._library.run(end_job, store, submission, tally)
        await self._drop(entry)

    async def _postpone(self, entry: _Waiting, outcome: Tally | Exception) -> None:
        name = entry.submission.name or entry.submission.document_id
        why, is_its_own = reason(outcome)
        entry.message = f"waits: {why}"
        entry.failures += is_its_own
        entry.due, entry.delay_s = time.monotonic() + entry.delay_s, min(2 * entry.delay_s, _MAX_RETRY_S)
        cause = outcome.failures[0].reason if isinstance(outcome, Tally) else outcome
        log.warning("job %s (%s) waits: %s", entry.submission.job_id, name, cause)
        if not is_its_own:
            await self._indexers.forget(entry.submission.collection)  # the next one asks for the model anew
        if not is_its_own or entry.failures < _TRIES:
            await self._update(entry, message=entry.message)
            return
        entry.due = math.inf
        kept = "it is kept, and tried again when the server starts; upload it again, or delete it"
        await self._update(entry, state="failed", message=f"set aside: {kept}", failures=[(name, why)])

    async def _update(
        self, entry: _Waiting, *, message: str, state: State | None = None, failures: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Write to the job, if that is possible: a full disk, or a collection that is gone, stops nothing."""
        job_id = entry.submission.job_id
        try:
            store = await self._library.store(entry.submission.collection)
            await self._library.run(store.job_update, job_id, state=state, message=message, failures=failures)
        except RaglineError as exc:
            log.warning("job %s could not be updated: %s", job_id, exc)

    async def _drop(self, entry: _Waiting) -> None:
        """Remove a submission from the spool, and end what is done for it."""
        del self._waiting[entry.submission.job_id]  # first: the worker must not begin with it
        try:
            if entry.adding is not None and not entry.adding.done():
                entry.adding.cancel()
                await asyncio.wait([entry.adding])
            await self._library.run(self.spool.remove, entry.folder)
        except BaseException:
            self._waiting[entry.submission.job_id] = entry
            raise


async def _uninterrupted(step: Coroutine[None, None, T]) -> T:
    """Await a step to its end, also where the caller is cancelled meanwhile, be it again and again, as anyio does."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise
