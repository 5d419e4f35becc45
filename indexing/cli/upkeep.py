"""The work behind `ragline index info` and its like."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console

from indexing.cli.display import Display, counted
from indexing.cli.session import embedding, finish, run
from indexing.settings import IndexingSettings, StoreKind
from indexing.store.interface import DocumentStore, Problem, Stores
from indexing.store.local import Store, collection_path
from indexing.store.local import restore as restore_snapshot
from indexing.store.open import stores_of
from indexing.sync import rebuild as rebuilding
from indexing.sync.progress import Report
from services.errors import BadRequestError


def info(collection: str, *, as_json: bool) -> None:
    with opened(collection) as store:
        found = asdict(store.info())
    if as_json:
        typer.echo(json.dumps({"collection": collection, **found}, indent=2))
        return
    segments = found.pop("segments", ())
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
        way_out = "run `ragline index repair`" if problem.repairable else "restore a snapshot: `ragline index restore`"
        typer.echo(f"{problem.text}; {way_out}")
    if problems:
        raise typer.Exit(1)
    typer.echo(sound)


def compact(collection: str) -> None:
    with local(collection, "compact", "Milvus compacts by itself") as store:
        before = _bytes(store)
        store.compact()
        after = _bytes(store)
    typer.echo(f"collection {collection!r}: {before:,} bytes before, {after:,} now")


def _bytes(store: Store) -> int:
    info = store.info()
    return info.database_bytes + info.vectors_bytes + info.bm25_bytes


def snapshot(collection: str, target: Path) -> None:
    with local(collection, "snapshot", _BY_WAY_OF_HERE) as store:
        store.snapshot(target.absolute())
    typer.echo(f"collection {collection!r} is copied to {target}; `ragline index restore {target}` brings it back")


def restored(collection: str, source: Path) -> None:
    settings = IndexingSettings.load()
    _check_local(settings, "restore", _BY_WAY_OF_HERE)
    path = collection_path(settings.data_dir, collection)
    restore_snapshot(source.absolute(), path)
    with Store.open(path) as store:
        stats = store.stats()
    typer.echo(f"collection {collection!r} is as in {source}: {counted(stats.documents, 'document')}")


def reindex(collection: str, *, as_json: bool) -> None:
    console = Console(stderr=as_json)
    finish(run(_reindexed(collection, console), console), collection, console, as_json=as_json)


async def _reindexed(collection: str, console: Console) -> Report:
    settings = IndexingSettings.load().running()
    _check_local(settings, "reindex", _BY_WAY_OF_HERE)
    path = collection_path(settings.data_dir, collection)
    async with embedding(settings) as embed:
        with Display(console) as display:
            return await rebuilding.reindex(path, embed, settings.index, display.show)


def copied(source: str, target: str) -> None:
    with (
        _placed(source) as (place, name),
        _placed(target) as (other_place, other_name),
        closing(place.open(name)) as store,
        closing(other_place.create_or_open(other_name, store.manifest)) as other,
    ):
        for done in rebuilding.copy(store, other):
            typer.echo(f"{counted(done, 'document')} copied to {target!r}")


@contextmanager
def _placed(name: str) -> Iterator[tuple[Stores, str]]:
    """Of NAME, local:NAME or milvus:NAME: the place, and NAME."""
    kind, _, rest = name.rpartition(":")
    kinds: dict[str, StoreKind | None] = {"": None, "local": "local", "milvus": "milvus"}
    if kind not in kinds:
        raise BadRequestError(f"{name!r}: say NAME, local:NAME or milvus:NAME")
    with closing(stores_of(IndexingSettings.load(), kinds[kind])) as place:
        yield place, rest


@contextmanager
def opened(collection: str) -> Iterator[DocumentStore]:
    with closing(stores_of(IndexingSettings.load())) as place, closing(place.open(collection)) as store:
        yield store


@contextmanager
def local(collection: str, command: str, instead: str) -> Iterator[Store]:
    """For what only collections on this machine have."""
    settings = IndexingSettings.load()
    _check_local(settings, command, instead)
    with Store.open(collection_path(settings.data_dir, collection)) as store:
        yield store


def _check_local(settings: IndexingSettings, command: str, instead: str) -> None:
    if settings.index.store != "local":
        raise BadRequestError(
            f"`ragline index {command}` is for collections on this machine, and index.store is"
            f" {settings.index.store!r}: {instead}"
        )


_BY_WAY_OF_HERE = (
    "copy it here and back (`ragline index copy NAME local:NAME`), with RAGLINE_INDEX__STORE=local meanwhile"
)
