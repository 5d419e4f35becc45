"""The work behind `ragline index info` and its like."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console

from indexing import reindex as rebuilding
from indexing.cli.display import Display, counted
from indexing.cli.session import embedding, finish, run
from indexing.progress import Report
from indexing.settings import IndexingSettings
from indexing.store import Problem, Store, collection_path
from indexing.store import restore as restore_snapshot


def info(collection: str, *, as_json: bool) -> None:
    with opened(collection) as store:
        found = asdict(store.info())
    if as_json:
        typer.echo(json.dumps({"collection": collection, **found}, indent=2))
        return
    segments = found.pop("segments")
    for name, value in {**found.pop("manifest"), **found}.items():
        typer.echo(f"{name.replace('_', ' '):20} {value:,}" if isinstance(value, int) else f"{name:20} {value}")
    for segment in segments:
        typer.echo(f"segment {segment['file']}: {counted(segment['chunks'], 'chunk')}, {segment['factory']}")


def verify(collection: str) -> None:
    with opened(collection) as store:
        problems = store.verify()
    _judge(problems, f"collection {collection!r} is sound")


def repair(collection: str) -> None:
    with opened(collection) as store:
        left = store.repair()
    _judge(left, f"collection {collection!r} is sound")


def _judge(problems: list[Problem], sound: str) -> None:
    for problem in problems:
        way_out = "`ragline index repair` mends it" if problem.mends else "restore a snapshot: `ragline index restore`"
        typer.echo(f"{problem.text}; {way_out}")
    if problems:
        raise typer.Exit(1)
    typer.echo(sound)


def compact(collection: str) -> None:
    with opened(collection) as store:
        before = _bytes(store)
        store.compact()
        after = _bytes(store)
    typer.echo(f"collection {collection!r}: {before:,} bytes before, {after:,} now")


def _bytes(store: Store) -> int:
    info = store.info()
    return info.database_bytes + info.vectors_bytes + info.bm25_bytes


def snapshot(collection: str, target: Path) -> None:
    with opened(collection) as store:
        store.snapshot(target.absolute())
    typer.echo(f"collection {collection!r} is copied to {target}; `ragline index restore {target}` brings it back")


def restored(collection: str, source: Path) -> None:
    path = collection_path(IndexingSettings.load().data_dir, collection)
    restore_snapshot(source.absolute(), path)
    with Store.open(path) as store:
        stats = store.stats()
    typer.echo(f"collection {collection!r} is as in {source}: {counted(stats.documents, 'document')}")


def reindex(collection: str, *, as_json: bool) -> None:
    console = Console(stderr=as_json)
    finish(run(_reindexed(collection, console), console), collection, console, as_json=as_json)


async def _reindexed(collection: str, console: Console) -> Report:
    settings = IndexingSettings.load().running()
    path = collection_path(settings.data_dir, collection)
    async with embedding(settings) as embed:
        with Display(console) as display:
            return await rebuilding.reindex(path, embed, settings.index, display.show)


def copied(source: str, target: str) -> None:
    path = collection_path(IndexingSettings.load().data_dir, target)
    with opened(source) as store, Store.create_or_open(path, store.manifest) as other:
        for done in rebuilding.copy(store, other):
            typer.echo(f"{counted(done, 'document')} copied to {target!r}")


@contextmanager
def opened(collection: str) -> Iterator[Store]:
    with Store.open(collection_path(IndexingSettings.load().data_dir, collection)) as store:
        yield store
