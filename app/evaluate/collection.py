"""The collection that the questions are asked of: indexed once, and named by its content."""

import asyncio
import hashlib
import re
from dataclasses import replace

from rich.console import Console

from app.answer.pipeline import Pipeline
from app.evaluate.datasets import Dataset
from app.settings import AppSettings
from indexing.cli.display import Display, summarize
from indexing.document import RECORD
from indexing.store.interface import DocumentStore
from indexing.store.jobs import Job
from indexing.store.manifest import Manifest
from indexing.sync.indexer import Indexer, manifest_of
from services.errors import BadRequestError


async def index(dataset: Dataset, pipeline: Pipeline, settings: AppSettings, console: Console) -> str:
    """Index the dataset's documents unless they are; return the collection's name. Raises UnavailableError."""
    library = pipeline.library
    manifest = await manifest_of(pipeline.embedder, settings.index)
    name, count = await asyncio.to_thread(_name_and_count, dataset, manifest)
    await library.create(name, manifest)
    store = await library.store(name)
    if (await library.run(store.stats)).documents == count:
        console.print(f"The {count:,} documents are indexed already; collection {name!r}.", highlight=False)
        return name
    with Display(console) as display:
        async with Indexer(store, pipeline.embedder, settings.index) as indexer:
            if dataset.texts is None:
                report = await indexer.sync(dataset.files, on_progress=display.show)
            else:
                report = await indexer.add_all(dataset.texts(), count=count, on_progress=display.show)
    summarize(console, report, name)
    return name


def _name_and_count(dataset: Dataset, manifest: Manifest) -> tuple[str, int]:
    """A name for these documents, cut and embedded so; and how many there are."""
    digest, count = hashlib.sha256(manifest.to_json().encode()), 0
    for file in dataset.files:
        with file.open("rb") as content:
            digest.update(f"{file}\0".encode() + hashlib.file_digest(content, "sha256").digest())
        count += 1
    for document in dataset.texts() if dataset.texts else ():
        digest.update(f"{document.source}\0{document.content_hash}".encode())
        count += 1
    slug = re.sub(r"[^a-z0-9]+", "-", dataset.name.lower()).strip("-")[:40] or "set"
    return f"eval-{slug}-{digest.hexdigest()[:8]}", count


def as_indexed(dataset: Dataset, store: DocumentStore, name: str) -> Dataset:
    """Name the judged documents as a collection does that was indexed otherwise, as from corpus.jsonl.

    Raises BadRequestError where it has none of them.
    """
    sources: dict[str, str] = {}
    for known in store.known_below(""):
        file, _, record = known.source.partition(RECORD)
        sources |= {file: file} if dataset.files else {record or file: known.source}
    cases = []
    for case in dataset.cases:
        relevant = {sources[each]: grade for each, grade in case.relevant.items() if each in sources}
        cases.append(replace(case, relevant=relevant))
    if not any(case.relevant for case in cases) and any(case.relevant for case in dataset.cases):
        raise BadRequestError(f"collection {name!r} holds none of the documents that {dataset.path} judges")
    return replace(dataset, cases=tuple(cases))


def content_of(store: DocumentStore) -> str:
    """A hash of what a collection holds, which every change of it changes."""
    digest = hashlib.sha256()
    for known in store.known_below(""):
        digest.update(f"{known.source}\0{known.content_hash}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def ingest_of(store: DocumentStore) -> Job | None:
    """The run that indexed most of a collection; None where what is known of none is more than that it was."""
    jobs = [job for job in store.jobs() if job.state == "done" and job.tokens and job.updated > job.created]
    return max(jobs, key=lambda job: job.tokens, default=None)
