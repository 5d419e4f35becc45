"""`ragline index PATH...` and `ragline jobs`."""

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from indexing.builder import Builder, manifest_of
from indexing.display import Display, summarize
from indexing.errors import UnknownJobError
from indexing.plan import file_of
from indexing.progress import Report
from indexing.settings import IndexingSettings
from indexing.store import Job, Store, collection_path, collections
from services.client import EmbedClient

STOPPED = 130
"""Exit status after Ctrl-C, as a shell gives it."""
_LISTED = 20
_WIDE = 160
"""Columns where there is no terminal to fit."""


class _PathsFirst(TyperGroup):
    """`index PATH...` is `index build PATH...`; for a folder that has a command's name, write ./NAME."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["build", *args]
        return super().parse_args(ctx, args)


index = typer.Typer(
    cls=_PathsFirst,
    no_args_is_help=True,
    help="Index files, folders and globs (`ragline index PATH...`), and look after the index.",
)

Collection = Annotated[str, typer.Option("--collection", "-c", help="The collection to write to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@index.command()
def build(
    paths: Annotated[list[str], typer.Argument(help="Files, folders and globs.")],
    *,
    collection: Collection = "default",
    prune: Annotated[bool, typer.Option("--prune", help="Drop what is gone from the given folders.")] = False,
    as_json: AsJson = False,
) -> None:
    """Index what is new or changed. What is committed stays, whatever ends this: the same command goes on."""
    _report(paths, collection, prune=prune, as_json=as_json)


def _report(paths: Sequence[str], collection: str, *, prune: bool, as_json: bool) -> None:
    console = Console(stderr=as_json)
    try:
        report = asyncio.run(_build(paths, collection, prune=prune, console=console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped. What was indexed so far is kept; the same command goes on with what is left.")
        raise typer.Exit(STOPPED) from None
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        summarize(console, report, collection)
    if not (report.documents or report.unchanged or report.moved or report.removed):
        console.print("[yellow]Nothing was indexed.[/]")
        raise typer.Exit(1)


async def _build(paths: Sequence[str], collection: str, *, prune: bool, console: Console) -> Report:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    settings = IndexingSettings.load().running()
    embed = EmbedClient(settings.embed)
    try:
        manifest = await manifest_of(embed, settings.index)
        path = collection_path(settings.data_dir, collection)
        store = await asyncio.to_thread(Store.create_or_open, path, manifest)
        try:
            async with Builder(store, embed, settings.index) as builder:
                with Display(console) as display:
                    return await builder.sync(paths, prune=prune, on_progress=display.show)
        finally:
            await asyncio.to_thread(store.close)
    finally:
        await embed.aclose()


jobs = typer.Typer(help="What is being indexed, what was, and what failed.", invoke_without_command=True)


@jobs.callback()
def list_jobs(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """The newest jobs of every collection."""
    if ctx.invoked_subcommand is not None:
        return
    found = _jobs()
    if as_json:
        typer.echo(json.dumps([{"collection": name, **asdict(job)} for name, job in found], indent=2))
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


@jobs.command()
def show(job_id: str, *, as_json: AsJson = False) -> None:
    """One job, with every failure and its reason."""
    name, job = _job(job_id)
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
    name, job = _job(job_id)
    paths = sorted({file_of(source) for source, _ in job.failures})
    if not paths:
        typer.echo(f"nothing failed in job {job.id}")
        return
    _report(paths, name, prune=False, as_json=as_json)


def _jobs() -> list[tuple[str, Job]]:
    """(collection, job) of all collections, newest first."""
    data_dir = IndexingSettings.load().data_dir
    found: list[tuple[str, Job]] = []
    for name in collections(data_dir):
        with Store.open(collection_path(data_dir, name)) as store:
            found += [(name, job) for job in store.jobs()]
    return sorted(found, key=lambda each: each[1].created, reverse=True)


def _job(job_id: str) -> tuple[str, Job]:
    """By its id or the start of it. Raises UnknownJobError."""
    for name, job in _jobs():
        if job.id.startswith(job_id):
            return name, job
    raise UnknownJobError(f"there is no job {job_id!r}; `ragline jobs` lists them")
