"""`ragline index PATH...`"""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from indexing.cli.display import Display, summarize
from indexing.cli.options import AsJson, Collection
from indexing.errors import StorageError
from indexing.settings import IndexingSettings
from indexing.sync.progress import Report
from services.errors import BadRequestError, UnavailableError

if TYPE_CHECKING:
    from indexing.sync.indexer import Indexer, Prune

T = TypeVar("T")
_RETRY_S = 5.0
_STOPPING = (signal.SIGINT, signal.SIGTERM)


class _PathsFirst(TyperGroup):
    """`index PATH...` is `index build PATH...`; for a folder that has a command's name, write ./NAME.

    --prune=all is an option of its own, for an option with an optional value would take a path for it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["build", *args]
        return super().parse_args(ctx, ["--prune-all" if each == "--prune=all" else each for each in args])


index = typer.Typer(
    cls=_PathsFirst,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Index files, folders, globs and URLs (`ragline index PATH...`), and maintain the index.",
)


@index.command()
def build(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs and URLs.")],
    *,
    collection: Collection = "default",
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove documents whose files are gone; --prune=all: even most of a folder's."),
    ] = False,
    prune_all: Annotated[bool, typer.Option("--prune-all", hidden=True)] = False,
    reread: Annotated[bool, typer.Option("--reread", help="Read files anew that an older reader has read.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Then watch the folders until Ctrl-C; implies --prune.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Index what is new or changed. After an interruption the same command continues where it stopped."""
    if reread and (kind := IndexingSettings.load().index.store) != "local":
        raise BadRequestError(f"--reread: {kind} does not keep what read a document; index into another collection")
    if watch:
        console = Console()
        run(_watch(paths, collection, "all" if prune_all else "gone", reread=reread, console=console), console)
    else:
        sync(paths, collection, prune="all" if prune_all else "gone" if prune else "no", reread=reread, as_json=as_json)


def sync(
    paths: Sequence[str], collection: str, *, prune: "Prune", as_json: bool, exact: bool = False, reread: bool = False
) -> None:
    """Index `paths` once and print the report; `prune`, `exact` and `reread` as in Indexer.sync."""
    console = Console(stderr=as_json)
    report = run(_sync(paths, collection, prune=prune, exact=exact, reread=reread, console=console), console)
    finish(report, collection, console, as_json=as_json)


def run(work: Coroutine[None, None, T], console: Console) -> T:
    """Run to the end. Ctrl-C or SIGTERM cancels the work, and the process exits with 130 or 143, as shells report it.

    A second signal ends the process at once.
    """
    logging.getLogger("stamina").setLevel(logging.ERROR)  # what is tried again is no news on a terminal
    received: list[int] = []

    async def until_signalled() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop(number: int) -> None:
            received.append(number)
            for each in _STOPPING:
                loop.remove_signal_handler(each)
                signal.signal(each, signal.SIG_DFL)
            if task is not None:
                task.cancel()

        for each in _STOPPING:
            loop.add_signal_handler(each, stop, each)
        return await work

    try:
        return asyncio.run(until_signalled())
    except asyncio.CancelledError:
        console.print(
            "Stopped. What was indexed so far is kept; the same command goes on with what is left.", soft_wrap=True
        )
        raise typer.Exit(128 + received[0]) from None


def _without_by_service(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Whether another try may help is for uploads, which are tried again."""
    return {name: value for name, value in fields if name != "by_service"}


def finish(report: Report, collection: str, console: Console, *, as_json: bool) -> None:
    """Print the report; exit status 1 where nothing could be indexed, or --prune was refused."""
    if as_json:
        typer.echo(json.dumps(asdict(report, dict_factory=_without_by_service), indent=2))
    else:
        summarize(console, report, collection)
    if not (report.documents or report.unchanged or report.moved or report.removed):
        console.print("[yellow]Nothing was indexed.[/]")
        raise typer.Exit(1)
    if report.kept:
        raise typer.Exit(1)


@asynccontextmanager
async def _indexer(collection: str, paths: Sequence[str]) -> AsyncIterator["Indexer"]:
    """An indexer of the collection, which is created if it does not exist."""
    from indexing.read.sources import check  # noqa: PLC0415 (httpx2)
    from indexing.store.open import stores_of  # noqa: PLC0415 (FAISS)
    from indexing.sync.indexer import Indexer, manifest_of  # noqa: PLC0415 (the chunker)
    from services.client import EmbedClient  # noqa: PLC0415 (the OpenAI SDK)

    await asyncio.to_thread(check, paths)  # a wrong path creates no collection
    settings = IndexingSettings.load().running()
    async with AsyncExitStack() as stack:
        embed = await stack.enter_async_context(aclosing(EmbedClient(settings.embed)))
        manifest = await manifest_of(embed, settings.index)
        stores = await asyncio.to_thread(stores_of, settings)
        stack.push_async_callback(asyncio.to_thread, stores.close)
        store = await asyncio.to_thread(stores.create_or_open, collection, manifest)
        stack.push_async_callback(asyncio.to_thread, store.close)
        yield await stack.enter_async_context(Indexer(store, embed, settings.index))


async def _sync(
    paths: Sequence[str], collection: str, *, prune: "Prune", exact: bool, reread: bool, console: Console
) -> Report:
    async with _indexer(collection, () if exact else paths) as indexer:
        with Display(console) as display:
            return await indexer.sync(paths, prune=prune, exact=exact, reread=reread, on_progress=display.show)


async def _watch(paths: Sequence[str], collection: str, prune: "Prune", *, reread: bool, console: Console) -> None:
    from indexing.read.sources import folders  # noqa: PLC0415
    from indexing.sync.watch import list_files, watch_files  # noqa: PLC0415 (httpx2)

    async with _indexer(collection, paths) as indexer:
        before = await list_files(paths)
        with Display(console) as display:
            report = await indexer.sync(paths, prune=prune, reread=reread, on_progress=display.show)
        summarize(console, report, collection)
        within = folders(paths)
        console.print("Watching for changes; Ctrl-C stops.")
        async for changed, gone in watch_files(paths, before):
            # Another process is waited for: nothing here can signal an event.
            while not await _index_changes(indexer, [*changed, *gone], within, collection, console):  # noqa: ASYNC110
                await asyncio.sleep(_RETRY_S)


async def _index_changes(
    indexer: "Indexer", files: list[Path], within: Sequence[Path], collection: str, console: Console
) -> bool:
    """Index new and changed files and remove those that are gone. Returns False where a service or the disk fails."""
    try:
        summarize(console, await indexer.sync(files, prune="gone", within=within, exact=True), collection)
    except (UnavailableError, StorageError) as exc:
        console.print(f"[yellow]{escape(str(exc))}[/] Trying again.")
        return False
    return True
