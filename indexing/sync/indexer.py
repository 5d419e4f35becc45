"""Documents into a store: files and folders, uploads, texts.

What is committed stays, whatever ends a build: a second one takes up what is left, by content hash.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

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
from indexing.sync.changes import Plan
from indexing.sync.embed import PATIENCE_S, Embedding
from indexing.sync.job import Job
from indexing.sync.pipeline import Build, Pipeline, Stages, passages
from indexing.sync.progress import Progress, Report, Tally
from indexing.sync.reader import Given, Intake
from services.client import EmbedClient

_SPECIAL_TOKENS = 8
"""[CLS], [SEP] and their like, at most."""


class Builder:
    """One writer's view of a store; `async with` ends its parser processes."""

    def __init__(
        self,
        store: DocumentStore,
        embed: EmbedClient,
        settings: IndexSettings,
        *,
        patience_s: float = PATIENCE_S,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._store = store
        self._embed = embed
        self._settings = settings
        self._patience_s = patience_s
        self._fetcher = fetcher or Fetcher(max_bytes=settings.max_file_bytes)
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="builder")
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
            await self._stages.embedding.__aexit__(None, None, None)
            await self._stages.parsers.__aexit__(None, None, None)
        await asyncio.to_thread(self._threads.shutdown)

    async def sync(
        self,
        paths: Sequence[str | Path],
        *,
        prune: bool = False,
        exact: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Report:
        """Index what is new or changed below `paths`; with `prune`, drop what is gone from the folders among them.

        Raises UnavailableError where the embed service is away, NotFoundError for a path that does not exist, unless
        paths are `exact`: those of files that were found before.
        """
        stages = await self._ready()
        found = await stages.blocking(sources.find, paths, exact=exact)
        plan = Plan(await stages.blocking(self._store.known))
        tally = Tally(len(found.files) + len(found.urls), sum(found.files.values()), skipped=dict(found.skipped))
        given: Iterator[tuple[Given, int]] = chain(found.files.items(), ((url, 0) for url in found.urls))
        params = {"paths": [str(path) for path in paths], "prune": prune}
        async with Job(stages, "index", tally, params) as job:
            build = Build(stages, plan, tally, _telling(stages, job, tally, on_progress))
            intake = await self._run(build, given, found.given)
            dropped = intake.vanished
            if prune:
                dropped = dropped + await stages.blocking(plan.gone, found.roots)
            tally.removed = await stages.write(self._store.delete, dropped) if dropped else 0
        return tally.report(job.id)

    async def add_all(
        self,
        documents: Iterable[Document],
        *,
        count: int,
        kind: str = "add",
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Report:
        """Documents that are text already, `count` of them, taken one by one as there is room."""
        stages = await self._ready()
        tally = Tally(count, count)
        given = ((document, 1) for document in documents)
        async with Job(stages, kind, tally, {}) as job:
            build = Build(stages, Plan({}), tally, _telling(stages, job, tally, on_progress))
            await self._run(build, given, frozenset())
        return tally.report(job.id)

    async def _run(self, build: Build, given: Iterator[tuple[Given, int]], named: frozenset[Path]) -> Intake:
        pipeline = Pipeline(build)
        intake = Intake(build, pipeline, named)
        await pipeline.run(intake.read(given) for _ in range(self._settings.parse_workers + 2))
        await build.tell()
        return intake

    async def add(self, document: Document) -> int:
        """One document that is text already, in place of the one with its id. Returns its chunks, once committed."""
        stages = await self._ready()
        return await self._put(stages, [await stages.parsers.document(document)])

    async def upload(
        self,
        spooled: Path,
        name: str,
        *,
        document_id: str,
        title: str = "",
        metadata: Mapping[str, Scalar] | None = None,
    ) -> int:
        """An uploaded file that lies at `spooled`, in place of what has its id. Returns its chunks, once committed.

        Records become documents of their own, with ids DOCUMENT_ID#record=KEY. Raises UnreadableError; what could be
        read of a file of records is committed then, and nothing is removed.
        """
        stages = await self._ready()
        before = await stages.blocking(with_records, self._store, document_id)
        parsed: list[Parsed] = []
        try:
            async with aclosing(stages.parsers.upload(spooled, name)) as batches:
                async for batch in batches:
                    parsed += [_named(one, document_id, title, metadata or {}) for one in batch.parsed]
        except UnreadableError:
            await self._put(stages, parsed)
            raise
        chunks = await self._put(stages, parsed)
        if gone := set(before) - {one.document.id for one in parsed}:
            await stages.write(self._store.delete, gone)
        return chunks

    async def _put(self, stages: Stages, parsed: Sequence[Parsed]) -> int:
        items = [(one.document, one.chunks, await stages.vectors(one)) for one in parsed]
        await stages.write(self._store.put, items)
        for one in parsed:
            stages.embedding.forget(passages(one))
        return sum(len(one.chunks) for one in parsed)

    async def _ready(self) -> Stages:
        """The stages, with the tokenizer of the embed service that runs."""
        async with self._starting:
            if self._stages is None:
                settings = self._settings
                parsers = Parsers(_parser_settings(settings, await self.chunker()))
                embedding = Embedding(
                    self._embed,
                    batch=settings.batch_chunks,
                    in_flight=settings.embed_in_flight,
                    patience_s=self._patience_s,
                )
                self._stages = Stages(
                    store=self._store,
                    parsers=parsers,
                    embedding=await embedding.__aenter__(),
                    fetcher=self._fetcher,
                    threads=self._threads,
                    writing=asyncio.Lock(),
                    waiting_chunks=4 * settings.batch_chunks * (settings.embed_in_flight + 1),
                )
            return self._stages

    async def chunker(self) -> ChunkerSettings:
        """Chunks leave room for prefix, heading and special tokens within the model's length."""
        card = await self._embed.model()
        room = card.max_model_len - HEADING_TOKENS - _SPECIAL_TOKENS - len(self._embed.prefix("document"))
        tokens = max(min(self._settings.chunk_tokens, room), 16)
        return ChunkerSettings(tokens, self._settings.chunk_overlap, await self._embed.tokenizer_json())


async def manifest_of(embed: EmbedClient, settings: IndexSettings) -> Manifest:
    """What an index has to be built with for this service and these settings. Raises UnavailableError."""
    card = await embed.model()
    probe = await embed.embed(["probe"], input_type="document")
    return Manifest(
        embedding_model=card.id,
        dimension=probe.shape[1],
        query_prefix=embed.prefix("query"),
        document_prefix=embed.prefix("document"),
        chunk_tokens=settings.chunk_tokens,
        chunk_overlap=settings.chunk_overlap,
        chunker=CHUNKER,
        vectors=settings.vectors,
        language=settings.language,
    )


def _telling(
    stages: Stages, job: Job, tally: Tally, on_progress: Callable[[Progress], None]
) -> Callable[[], Awaitable[None]]:
    before = stages.embedding.embedded

    async def tell() -> None:
        tally.embedded = stages.embedding.embedded - before
        on_progress(tally.progress())
        await job.tell()

    return tell


def _named(parsed: Parsed, document_id: str, title: str, metadata: Mapping[str, Scalar]) -> Parsed:
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
