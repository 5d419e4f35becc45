"""`ragline jobs`"""

import json
import time
from contextlib import closing
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from indexing.errors import UnknownJobError
from indexing.settings import IndexingSettings
from indexing.store.jobs import Job
from indexing.store.open import stores_of
from indexing.sync.changes import file_of

_LISTED = 20
_WIDE = 160
"""Columns where there is no terminal to fit."""


def shown(*, as_json: bool) -> None:
    """The newest jobs of every collection."""
    found = _jobs()
    if as_json:
        typer.echo(json.dumps([{"collection": name, **asdict(job)} for name, job in found], indent=2))
        return
    if not found:
        typer.echo("no jobs yet; `ragline index PATH` makes one")
        return
    table = Table("job", "collection", "state", "files", "chunks", "tokens/s", "failed", "began", box=None)
    for name, job in found[:_LISTED]:
        table.add_row(*_row(name, job))
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


def _row(collection: str, job: Job) -> tuple[str, ...]:
    rate = job.tokens / max(job.updated - job.created, 0.001)
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))
    files = str(job.done) if job.total is None else f"{job.done:,} of {job.total:,}"
    return job.id[:12], collection, job.state, files, f"{job.chunks:,}", f"{rate:,.0f}", str(len(job.failures)), began


def shown_one(job_id: str, *, as_json: bool) -> None:
    name, job = one(job_id)
    if as_json:
        typer.echo(json.dumps({"collection": name, **asdict(job)}, indent=2))
        return
    typer.echo(f"{job.kind} into {name!r}: {job.state}, {job.done} of {job.total} files, {job.chunks:,} chunks")
    if job.message:
        typer.echo(job.message)
    for source, reason in job.failures:
        typer.echo(f"  {source}: {reason}")


def failed_paths(job_id: str) -> tuple[str, list[str]]:
    """The collection of a job, and the files and URLs that failed in it."""
    name, job = one(job_id)
    return name, sorted({file_of(source) for source, _ in job.failures})


def _jobs() -> list[tuple[str, Job]]:
    """(collection, job) of all collections, newest first."""
    found: list[tuple[str, Job]] = []
    with closing(stores_of(IndexingSettings.load())) as place:
        for name in place.names():
            with closing(place.open(name)) as store:
                found += [(name, job) for job in store.jobs()]
    return sorted(found, key=lambda each: each[1].created, reverse=True)


def one(job_id: str) -> tuple[str, Job]:
    """By its id or the start of it. Raises UnknownJobError."""
    for name, job in _jobs():
        if job.id.startswith(job_id):
            return name, job
    raise UnknownJobError(f"there is no job {job_id!r}; `ragline jobs` lists them")
