"""`ragline jobs`"""

import json
import time
from contextlib import closing
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from indexing.cli.index import sync
from indexing.cli.options import AsJson
from indexing.document import file_of
from indexing.errors import UnknownJobError
from indexing.settings import IndexingSettings
from indexing.store.jobs import Job

_LISTED = 20
_WIDTH = 160
"""Columns of the table where the output is no terminal."""

jobs = typer.Typer(
    help="What is being indexed, what was, and what failed.", invoke_without_command=True, add_completion=False
)


@jobs.callback()
def newest(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """The newest jobs of every collection."""
    if ctx.invoked_subcommand is not None:
        return
    found = _all_jobs()
    if as_json:
        typer.echo(json.dumps([{"collection": name, **asdict(job)} for name, job in found], indent=2))
        return
    if not found:
        typer.echo("no jobs yet; `ragline index PATH` starts one")
        return
    table = Table("job", "collection", "state", "files", "chunks", "tokens/s", "failed", "began", box=None)
    for name, job in found[:_LISTED]:
        table.add_row(*_row(name, job))
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH)).print(table)


def _row(collection: str, job: Job) -> tuple[str, ...]:
    rate = job.tokens / max(job.updated - job.created, 0.001)
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))
    files = str(job.done) if job.total is None else f"{job.done:,} of {job.total:,}"
    return job.id[:12], collection, job.state, files, f"{job.chunks:,}", f"{rate:,.0f}", str(len(job.failures)), began


@jobs.command()
def show(job_id: str, *, as_json: AsJson = False) -> None:
    """One job, with every failure and its reason."""
    name, job = _find(job_id)
    if as_json:
        typer.echo(json.dumps({"collection": name, **asdict(job)}, indent=2))
        return
    typer.echo(f"{job.kind} into {name!r}: {job.state}, {job.done} of {job.total} files, {job.chunks:,} chunks")
    if job.message:
        typer.echo(job.message)
    for source, reason in job.failures:
        typer.echo(f"  {source}: {reason}")


@jobs.command()
def retry(job_id: str, *, as_json: AsJson = False) -> None:
    """Index again what failed in a job, and nothing else."""
    collection, job = _find(job_id)
    if job.failures:
        files = sorted({file_of(source) for source, _ in job.failures})
        sync(files, collection, prune="no", exact=True, as_json=as_json)
    else:
        typer.echo(f"nothing failed in job {job_id}")


def _find(job_id: str) -> tuple[str, Job]:
    """(collection, job) by the job's id or the start of it. Raises UnknownJobError."""
    for name, job in _all_jobs():
        if job.id.startswith(job_id):
            return name, job
    raise UnknownJobError(f"there is no job {job_id!r}; `ragline jobs` lists them")


def _all_jobs() -> list[tuple[str, Job]]:
    """(collection, job) of all collections, newest first."""
    from indexing.store.open import stores_of  # noqa: PLC0415 (FAISS)

    found: list[tuple[str, Job]] = []
    with closing(stores_of(IndexingSettings.load())) as stores:
        for name in stores.names():
            with stores.jobs(name) as jobs_of_it:
                found += [(name, job) for job in jobs_of_it.jobs()]
    return sorted(found, key=lambda each: each[1].created, reverse=True)
