"""`ragline index info|verify|repair|compact|snapshot|restore|reindex|copy`"""

import json
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from indexing.cli.display import Display, counted
from indexing.cli.index import finish, run
from indexing.cli.options import AsJson, Collection
from indexing.read.formats.versions import CURRENT
from indexing.settings import IndexingSettings, StoreKind
from indexing.sync.progress import Report
from services.errors import BadRequestError

if TYPE_CHECKING:
    from indexing.store.interface import DocumentStore, Problem, Stores
    from indexing.store.local import Store

maintain = typer.Typer()


@maintain.command()
def info(*, collection: Collection = "default", as_json: AsJson = False) -> None:
    """What the collection holds, what it was built with, and its size on disk."""
    with _opened(collection) as store:
        found = asdict(store.info())
    if as_json:
        typer.echo(json.dumps({"collection": collection, **found}, indent=2))
        return
    segments, readers = found.pop("segments", ()), found.pop("readers", {})
    for name, value in {**found.pop("manifest"), **found}.items():
        typer.echo(f"{name.replace('_', ' '):20} {value:,}" if isinstance(value, int) else f"{name:20} {value}")
    for reader, count in sorted(readers.items()):
        older = "" if reader in {"", *CURRENT} else ", an older reader: `ragline index PATH --reread` reads them anew"
        typer.echo(f"{reader or 'given as text'}: {counted(count, 'document')}{older}")
    for segment in segments:
        typer.echo(f"segment {segment['file']}: {counted(segment['chunks'], 'chunk')}, {segment['factory']}")


@maintain.command()
def verify(*, collection: Collection = "default") -> None:
    """Check every file against every other; exit status 1 where something is wrong."""
    with _opened(collection) as store:
        problems = store.verify()
    _report(problems, collection)


@maintain.command()
def repair(*, collection: Collection = "default") -> None:
    """Rebuild what is derived from the documents; for other damage, restore a snapshot."""
    settings = IndexingSettings.load()
    if settings.index.store == "local":
        from indexing.store.local import collection_path, recover  # noqa: PLC0415 (FAISS)

        recover(collection_path(settings.data_dir, collection))
    with _opened(collection) as store:
        found, left = store.repair()
    for text in [problem.text for problem in found if problem.text not in {each.text for each in left}]:
        typer.echo(f"repaired: {text}")
    _report(left, collection)


def _report(problems: list["Problem"], collection: str) -> None:
    """Print each problem with its remedy; exit status 1 if there are any."""
    for problem in problems:
        typer.echo(f"{problem.text}; {'run `ragline index repair`' if problem.repairable else problem.otherwise}")
    if problems:
        raise typer.Exit(1)
    typer.echo(f"collection {collection!r} is sound")


@maintain.command()
def compact(*, collection: Collection = "default") -> None:
    """Merge the segments, drop what was deleted, and give disk space back."""
    with _local(collection, "compact", "Milvus compacts by itself") as store:
        before = _bytes(store)
        store.compact()
        after = _bytes(store)
    typer.echo(f"collection {collection!r}: {before:,} bytes before, {after:,} now")


def _bytes(store: "Store") -> int:
    info = store.info()
    return info.database_bytes + info.vectors_bytes + info.bm25_bytes


@maintain.command()
def snapshot(
    target: Annotated[Path, typer.Argument(help="A new folder.")], *, collection: Collection = "default"
) -> None:
    """Copy the collection, as it is at one moment, into a folder."""
    with _local(collection, "snapshot", _COPY_FIRST) as store:
        store.snapshot(target.absolute())
    typer.echo(f"collection {collection!r} is copied to {target}; `ragline index restore {target}` brings it back")


@maintain.command()
def restore(source: Annotated[Path, typer.Argument(help="A snapshot.")], *, collection: Collection = "default") -> None:
    """Check a snapshot and replace the collection with it."""
    from indexing.store.local import Store  # noqa: PLC0415 (FAISS)
    from indexing.store.local import restore as restore_snapshot  # noqa: PLC0415

    path = _local_path(IndexingSettings.load(), collection, "restore", _COPY_FIRST)
    restore_snapshot(source.absolute(), path)
    with Store.open(path) as store:
        stats = store.stats()
    typer.echo(f"collection {collection!r} is as in {source}: {counted(stats.documents, 'document')}")


@maintain.command()
def reindex(*, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Chunk and embed all documents again with the present settings and model, then swap; searches continue."""
    console = Console(stderr=as_json)
    finish(run(_reindex(collection, console), console), collection, console, as_json=as_json)


async def _reindex(collection: str, console: Console) -> Report:
    from indexing.sync import rebuild  # noqa: PLC0415 (FAISS)
    from services.client import EmbedClient  # noqa: PLC0415

    settings = IndexingSettings.load().running()
    path = _local_path(settings, collection, "reindex", _COPY_FIRST)
    async with aclosing(EmbedClient(settings.embed)) as embed:
        with Display(console) as display:
            return await rebuild.reindex(path, embed, settings.index, display.show)


@maintain.command()
def copy(source: str, target: str) -> None:
    """Copy a collection into another one, without embedding again; local:NAME and milvus:NAME say where each is."""
    from indexing.sync import rebuild  # noqa: PLC0415 (FAISS)

    with (
        _stores(source) as (stores, name),
        _stores(target) as (target_stores, target_name),
        closing(stores.open(name)) as store,
        closing(target_stores.create_or_open(target_name, store.manifest)) as target_store,
    ):
        for copied in rebuild.copy(store, target_store):
            typer.echo(f"{counted(copied, 'document')} copied to {target!r}")


@contextmanager
def _stores(name: str) -> Iterator[tuple["Stores", str]]:
    """The stores that hold NAME, local:NAME or milvus:NAME, and NAME."""
    from indexing.store.open import stores_of  # noqa: PLC0415 (FAISS)

    kind, _, rest = name.rpartition(":")
    kinds: dict[str, StoreKind | None] = {"": None, "local": "local", "milvus": "milvus"}
    if kind not in kinds:
        raise BadRequestError(f"{name!r}: write NAME, local:NAME or milvus:NAME")
    with closing(stores_of(IndexingSettings.load(), kinds[kind])) as stores:
        yield stores, rest


@contextmanager
def _opened(collection: str) -> Iterator["DocumentStore"]:
    from indexing.store.open import stores_of  # noqa: PLC0415 (FAISS)

    with closing(stores_of(IndexingSettings.load())) as stores, closing(stores.open(collection)) as store:
        yield store


@contextmanager
def _local(collection: str, command: str, otherwise: str) -> Iterator["Store"]:
    from indexing.store.local import Store  # noqa: PLC0415 (FAISS)

    with Store.open(_local_path(IndexingSettings.load(), collection, command, otherwise)) as store:
        yield store


def _local_path(settings: IndexingSettings, collection: str, command: str, otherwise: str) -> Path:
    """The folder of a local collection. Raises BadRequestError, which says what to do otherwise, for Milvus."""
    from indexing.store.local import collection_path  # noqa: PLC0415 (FAISS)

    if settings.index.store != "local":
        raise BadRequestError(
            f"`ragline index {command}` is for collections on this machine, and index.store is"
            f" {settings.index.store!r}: {otherwise}"
        )
    return collection_path(settings.data_dir, collection)


_COPY_FIRST = "copy it here and back (`ragline index copy NAME local:NAME`), with RAGLINE_INDEX__STORE=local meanwhile"
