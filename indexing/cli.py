"""`ragline index PATH...` and `ragline jobs`."""

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from indexing.builder import Builder, manifest_of
from indexing.display import Display, summarize
from indexing.progress import Report
from indexing.settings import IndexingSettings
from indexing.store import Store, collection_path
from services.client import EmbedClient

STOPPED = 130
"""Exit status after Ctrl-C, as a shell gives it."""


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
