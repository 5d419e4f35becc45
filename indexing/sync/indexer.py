"""Puts documents into a store: files and folders, uploads, texts.

What is committed is kept, however a run ends; the next run recognizes it by content hash and does the rest.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from indexing.chunk import CHUNKER, HEADING_TOKENS, ChunkerSettings
from indexing.document import RECORD, Document, Scalar
from indexing.errors import UnreadableError
from indexing.read import sources
from indexing.read.formats.extract import Limits
from indexing.read.pool import Parsed, Parsers, ParserSettings
from indexing.read.web import Fetcher
from indexing.settings import IndexSettings
from indexing.store.interface import DocumentStore, with_records
from indexing.store.manifest import Manifest
from indexing.sync.changes import KnownDocuments
from indexing.sync.embed import RETRY_FOR_S, Embedder
from indexing.sync.job import RunningJob
from indexing.sync.pipeline import Pipeline, Stages
from indexing.sync.progress import Progress, Report, Tally
from indexing.sync.reader import LookedUp, Reader, looked_up
from services.client import EmbedClient

Prune = Literal["no", "gone", "all"]
_SPECIAL_TOKENS = 8
"""At most: [CLS], [SEP] and the like."""


class Indexer:
    """Writes to one store; `async with` ends its parser processes."""

    def __init__(
        self,
        store: DocumentStore,
        embed: EmbedClient,
        settings: IndexSettings,
        *,
        retry_for_s: float = RETRY_FOR_S,
        fetcher: Fetcher | None = None,
    ) -> None:
        """Where the store's manifest is not that of `embed` and `settings`, or no longer, nothing is put."""
        self._store = store
        self._embed = embed
        self._settings = settings
        self._retry_for_s = retry_for_s
        self._fetcher = fetcher or Fetcher(max_bytes=settings.max_file_bytes)
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="indexer")
        self._stages: Stages | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._stages is not None:
            await self._stages.embedder.__aexit__(None, None, None)
            await self._stages.parsers.__aexit__(None, None, None)
        await asyncio.to_thread(self._threads.shutdown)

    async def sync(
        self,
        paths: Sequence[str | Path],
        *,
        prune: Prune = "no",
        within: Sequence[Path] = (),
        exact: bool = False,
        reread: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Report:
        """Index what is new or changed below `paths`; `prune` removes documents whose files below them are gone.

        Of a folder of `paths`, or of `within`, more than half of the documents are removed with prune="all" only: it
        may be a disk that is not mounted. `reread` reads files anew that an older reader has read.
        `exact` paths are those of known files: no globs, and any may be gone. Raises NotFoundError for other paths that
        do not exist, UnavailableError without the embed service.
        """
        stages = await self._started()
        found = await stages.in_thread(sources.find, paths, exact=exact)
        tally = Tally(len(found.files) + len(found.urls), sum(found.files.values()), skipped=dict(found.skipped))
        tally.name_skipped(found.passed_over)
        inputs = looked_up(self._store, chain(found.files.items(), ((url, 0) for url in found.urls)))
        params = {"paths": [str(path) for path in paths], "prune": prune}
        async with RunningJob(stages, "index", tally, params) as job:
            gone = set(await self._run(job, inputs, on_progress, named=found.named, reread=reread))
            known = KnownDocuments(self._store)
            if prune == "all":
                gone.update(await stages.in_thread(known.gone, found.roots))
            elif prune == "gone":
                guarded = (*found.roots, *within)
                more, tally.kept = await stages.in_thread(known.prunable, found.roots, guarded)
                gone |= more
            tally.removed = await stages.write(self._store.delete, gone) if gone else 0
        return tally.report(job.id)

    async def add_all(
        self,
        documents: Iterable[Document],
        *,
        count: int,
        kind: str = "add",
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Report:
        """Index `count` documents that are text already; each is taken from the iterable when there is room for it."""
        tally = Tally(count, count)
        inputs: Iterator[LookedUp] = ((document, 1, {}) for document in documents)
        async with RunningJob(await self._started(), kind, tally, {}) as job:
            await self._run(job, inputs, on_progress)
        return tally.report(job.id)

    async def _run(
        self,
        job: RunningJob,
        inputs: Iterator[LookedUp],
        on_progress: Callable[[Progress], None],
        *,
        named: Collection[Path] = (),
        reread: bool = False,
    ) -> list[str]:
        """Returns the ids of the documents that are to go: without text by now, or there twice."""
        embedder, tally = job.stages.embedder, job.tally
        before = embedder.embedded

        async def report() -> None:
            tally.embedded = embedder.embedded - before
            on_progress(tally.progress())
            await job.update()

        pipeline = Pipeline(job.stages, tally, report)
        reader = Reader(job.stages, tally, pipeline, named=named, reread=reread)
        await pipeline.run(reader.read(inputs) for _ in range(self._settings.parse_workers + 2))
        await report()
        known = KnownDocuments(self._store)
        return [*reader.vanished, *await job.stages.in_thread(known.doubled, reader.new)]

    async def add(self, document: Document) -> Tally:
        """Put one document that is text already, replacing the one with its id."""
        stages = await self._started()

        async def read(pipeline: Pipeline) -> None:
            await pipeline.submit(await stages.parsers.document(document))

        return await self._put(document.source, read)

    async def upload(
        self,
        spooled: Path,
        name: str,
        *,
        document_id: str,
        title: str = "",
        metadata: Mapping[str, Scalar] | None = None,
    ) -> Tally:
        """Put the uploaded file at `spooled`, replacing what has its id.

        Records become documents of their own, with ids DOCUMENT_ID#record=KEY. What cannot be read or embedded is in
        the tally's failures; what can is committed then, and nothing is removed.
        """
        stages = await self._started()
        gone = set(await stages.in_thread(with_records, self._store, document_id))

        async def read(pipeline: Pipeline) -> None:
            async with aclosing(stages.parsers.upload(spooled, name)) as batches:
                async for batch in batches:
                    for parsed in batch.parsed:
                        document = _as_uploaded(parsed, document_id, title, metadata or {})
                        gone.discard(document.document.id)
                        await pipeline.submit(document)

        tally = await self._put(name, read)
        if gone and not tally.failures:
            await stages.write(self._store.delete, gone)
        return tally

    async def _put(self, name: str, read: Callable[[Pipeline], Coroutine[None, None, None]]) -> Tally:
        tally = Tally(1)
        pipeline = Pipeline(await self._started(), tally, _unreported)

        async def reader() -> None:
            try:
                await read(pipeline)
            except UnreadableError as exc:
                tally.fail(name, str(exc))

        await pipeline.run([reader()])
        return tally

    async def _started(self) -> Stages:
        """The stages; at the first call the embed service must run, as the chunker uses its tokenizer."""
        async with self._starting:
            if self._stages is None:
                settings = self._settings
                stored = await asyncio.to_thread(lambda: self._store.manifest)
                manifest = await _manifest(self._embed, settings, stored.dimension)
                parsers = Parsers(_parser_settings(settings, await self.chunker()))
                embedder = Embedder(
                    self._embed,
                    batch_size=settings.batch_chunks,
                    in_flight=settings.embed_in_flight,
                    dimension=manifest.dimension,
                    retry_for_s=self._retry_for_s,
                )
                self._stages = Stages(
                    store=self._store,
                    manifest=manifest,
                    parsers=parsers,
                    embedder=await embedder.__aenter__(),
                    fetcher=self._fetcher,
                    threads=self._threads,
                    write_lock=asyncio.Lock(),
                    max_pending_chunks=4 * settings.batch_chunks * (settings.embed_in_flight + 1),
                )
            return self._stages

    async def chunker(self) -> ChunkerSettings:
        """Chunks leave room for prefix, heading and special tokens within the model's length."""
        card = await self._embed.model()
        room = card.max_model_len - HEADING_TOKENS - _SPECIAL_TOKENS - len(self._embed.prefix("document"))
        tokens = max(min(self._settings.chunk_tokens, room), 16)
        return ChunkerSettings(tokens, self._settings.chunk_overlap, await self._embed.tokenizer_json())


async def manifest_of(embed: EmbedClient, settings: IndexSettings) -> Manifest:
    """The manifest of an index that is built with this service and these settings. Raises UnavailableError."""
    probe = await embed.embed(["probe"], input_type="document")
    return await _manifest(embed, settings, probe.shape[1])


async def _manifest(embed: EmbedClient, settings: IndexSettings, dimension: int) -> Manifest:
    card = await embed.model()
    return Manifest(
        embedding_model=card.id,
        dimension=dimension,
        query_prefix=embed.prefix("query"),
        document_prefix=embed.prefix("document"),
        chunk_tokens=settings.chunk_tokens,
        chunk_overlap=settings.chunk_overlap,
        chunker=CHUNKER,
        vectors=settings.vectors,
        language=settings.language,
    )


async def _unreported() -> None:
    """An upload's job has no counts before its end."""


def _as_uploaded(parsed: Parsed, document_id: str, title: str, metadata: Mapping[str, Scalar]) -> Parsed:
    """The document with the upload's id, title and metadata; a record keeps its own title."""
    document = parsed.document
    _, record, key = document.source.partition(RECORD)
    identity = document_id + record + key
    title = document.title if record else title or document.title
    return replace(
        parsed, document=replace(document, id=identity, title=title, metadata={**document.metadata, **metadata})
    )


def _parser_settings(settings: IndexSettings, chunker: ChunkerSettings) -> ParserSettings:
    return ParserSettings(
        chunker=chunker,
        limits=Limits(
            max_bytes=settings.max_file_bytes, max_chars=settings.max_document_chars, scan_models=settings.scan_models
        ),
        workers=settings.parse_workers,
        timeout_s=settings.parse_timeout_s,
        memory_bytes=settings.parse_memory_mb * 2**20,
    )
