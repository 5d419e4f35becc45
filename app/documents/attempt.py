"""A try of a submission: its job, its document into the index, and why it has to wait."""

import asyncio
import hashlib
from contextlib import suppress
from pathlib import Path

from app.documents.library import Library
from app.documents.spool import Submission
from app.settings import AppSettings
from indexing.document import Document
from indexing.errors import IndexBusyError, IndexMismatchError, StorageError, UnknownJobError
from indexing.store.interface import DocumentStore
from indexing.sync.indexer import Indexer, manifest_of
from indexing.sync.progress import Tally
from services.client import EmbedClient
from services.errors import RaglineError

KINDS = ("text", "upload")
"""Of the jobs that submissions have."""
RETRY_S = 2.0
"""Before the second try; twice as long before each that follows."""


class Indexers:
    """The indexer of each collection that was written to."""

    def __init__(self, settings: AppSettings, library: Library, embedder: EmbedClient) -> None:
        self._settings = settings
        self._library = library
        self._embedder = embedder
        self._open: dict[str, Indexer] = {}

    async def of(self, collection: str) -> Indexer:
        """Raises IndexMismatchError where the collection was built with other settings."""
        if collection not in self._open:
            store = await self._library.store(collection)
            manifest = await self._library.run(lambda: store.manifest)
            manifest.check(await manifest_of(self._embedder, self._settings.index), Path(collection))
            # a service that is away is waited for by the caller, where the job says so
            indexer = Indexer(store, self._embedder, self._settings.index, retry_for_s=RETRY_S)
            self._open[collection] = indexer
        return self._open[collection]

    async def forget(self, collection: str) -> None:
        if indexer := self._open.pop(collection, None):
            await indexer.aclose()

    async def aclose(self) -> None:
        for indexer in self._open.values():
            await indexer.aclose()


def create_job(store: DocumentStore, submission: Submission) -> None:
    store.job_create(KINDS[not submission.is_text], 1, job_id=submission.job_id)


def resume_job(store: DocumentStore, submission: Submission) -> None:
    """Say that the job runs; make it anew where the process was killed before it was made."""
    try:
        store.job_update(submission.job_id, state="running", message="")
    except UnknownJobError:
        create_job(store, submission)


def end_job(store: DocumentStore, submission: Submission, tally: Tally) -> None:
    """Say that the submission is indexed, or why it is refused."""
    with suppress(UnknownJobError):  # it was cleared, or its collection restored
        store.job_update(
            submission.job_id,
            state="failed" if tally.failures else "done",
            done=0 if tally.failures else 1,
            chunks=tally.chunks,
            tokens=tally.tokens,
            failures=[(each.source, each.reason) for each in tally.failures],
            message=tally.omissions(),
        )


async def put(indexer: Indexer, content: Path, submission: Submission) -> Tally:
    """Parse, chunk, embed and store a submission."""
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


def reason(outcome: Tally | Exception) -> tuple[str, bool]:
    """Why a submission waits, in words for its owner, and whether that is its own fault; the log has the cause."""
    if isinstance(outcome, Tally):
        return "the embed service fails on this text, and on no other", True
    if isinstance(outcome, IndexMismatchError):
        return str(outcome), False
    if isinstance(outcome, RaglineError) and outcome.param == "collection":
        return "its collection is not there", False
    for kind, why in _WAITS.items():
        if isinstance(outcome, kind):
            return why, False
    return "the server failed on it", True


_WAITS: dict[type[Exception], str] = {
    StorageError: "the server's disk is full, or cannot be written to",
    OSError: "the server's disk is full, or cannot be written to",
    IndexBusyError: "another process writes to the collection",
    RaglineError: "a service that it needs is away, or fails",
}
