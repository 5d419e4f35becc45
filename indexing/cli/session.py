"""A store, its builder and the embed service, open for one command."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from indexing.cli.display import Display, summarize
from indexing.cli.options import STOPPED
from indexing.settings import IndexingSettings
from indexing.store.open import stores_of
from indexing.sync.indexer import Builder, manifest_of
from indexing.sync.progress import Report
from indexing.sync.watch import changes, look
from services.client import EmbedClient
from services.errors import UnavailableError

T = TypeVar("T")
_AGAIN_S = 5.0


def build(paths: Sequence[str], collection: str, *, prune: bool, as_json: bool, exact: bool = False) -> None:
    """`exact` as of Builder.sync."""
    console = Console(stderr=as_json)
    report = run(_built(paths, collection, prune=prune, exact=exact, console=console), console)
    finish(report, collection, console, as_json=as_json)


def watch(paths: Sequence[str], collection: str) -> None:
    console = Console()
    run(_watched(paths, collection, console), console)


def run(work: Coroutine[None, None, T], console: Console) -> T:
    """Until it is done, or Ctrl-C or SIGTERM stops it, which leaves with one line."""
    try:
        return asyncio.run(_stoppable(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print(
            "Stopped. What was indexed so far is kept; the same command goes on with what is left.", soft_wrap=True
        )
        raise typer.Exit(STOPPED) from None


def finish(report: Report, collection: str, console: Console, *, as_json: bool) -> None:
    """Print what was done; exit status 1 where nothing could be indexed."""
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        summarize(console, report, collection)
    if not (report.documents or report.unchanged or report.moved or report.removed):
        console.print("[yellow]Nothing was indexed.[/]")
        raise typer.Exit(1)


@asynccontextmanager
async def building(collection: str) -> AsyncIterator[Builder]:
    """The collection's builder; the collection is made where there is none."""
    settings = IndexingSettings.load().running()
    async with embedding(settings) as embed:
        manifest = await manifest_of(embed, settings.index)
        place = await asyncio.to_thread(stores_of, settings)
        try:
            store = await asyncio.to_thread(place.create_or_open, collection, manifest)
            try:
                async with Builder(store, embed, settings.index) as builder:
                    yield builder
            finally:
                await asyncio.to_thread(store.close)
        finally:
            await asyncio.to_thread(place.close)


@asynccontextmanager
async def embedding(settings: IndexingSettings) -> AsyncIterator[EmbedClient]:
    client = EmbedClient(settings.embed)
    try:
        yield client
    finally:
        await client.aclose()


async def _stoppable(work: Coroutine[None, None, T]) -> T:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


async def _built(paths: Sequence[str], collection: str, *, prune: bool, exact: bool, console: Console) -> Report:
    async with building(collection) as builder:
        with Display(console) as display:
            return await builder.sync(paths, prune=prune, exact=exact, on_progress=display.show)


async def _watched(paths: Sequence[str], collection: str, console: Console) -> None:
    async with building(collection) as builder:
        before = await look(paths)
        with Display(console) as display:
            report = await builder.sync(paths, prune=True, on_progress=display.show)
        summarize(console, report, collection)
        console.print("Watching for changes; Ctrl-C stops.")
        async for changed, gone in changes(paths, before):
            # What is waited for is another process.
            while not await _followed(builder, [*changed, *gone], collection, console):  # noqa: ASYNC110
                await asyncio.sleep(_AGAIN_S)


async def _followed(builder: Builder, files: list[Path], collection: str, console: Console) -> bool:
    """Whether it is done; not where a service is away."""
    try:
        summarize(console, await builder.sync(files, prune=True, exact=True), collection)
    except UnavailableError as exc:
        console.print(f"[yellow]{escape(str(exc))}[/] Trying again.")
        return False
    return True
