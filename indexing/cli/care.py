"""`ragline index info|verify|repair|snapshot|restore|compact|reindex|copy`"""

from pathlib import Path
from typing import Annotated

import typer

from indexing.cli.options import AsJson, Collection

care = typer.Typer()


@care.command()
def info(*, collection: Collection = "default", as_json: AsJson = False) -> None:
    """What the collection holds, what it was built with, and its size on disk."""
    from indexing.cli import upkeep  # noqa: PLC0415 (it opens FAISS)

    upkeep.info(collection, as_json=as_json)


@care.command()
def verify(*, collection: Collection = "default") -> None:
    """Check every file against every other; exit status 1 where something is wrong."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.verify(collection)


@care.command()
def repair(*, collection: Collection = "default") -> None:
    """Build anew what follows from the documents; what is left takes a snapshot to restore."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.repair(collection)


@care.command()
def compact(*, collection: Collection = "default") -> None:
    """Merge the segments, drop what was deleted, and give disk space back."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.compact(collection)


@care.command()
def snapshot(
    target: Annotated[Path, typer.Argument(help="A new folder.")], *, collection: Collection = "default"
) -> None:
    """Copy the collection, as it is at one moment, into a folder."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.snapshot(collection, target)


@care.command()
def restore(source: Annotated[Path, typer.Argument(help="A snapshot.")], *, collection: Collection = "default") -> None:
    """Put a snapshot in the place of the collection, after checking it."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.restored(collection, source)


@care.command()
def reindex(*, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Chunk and embed all documents anew with the present settings and model, then swap; searches go on meanwhile."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.reindex(collection, as_json=as_json)


@care.command()
def copy(source: str, target: str) -> None:
    """Copy a collection into another one, without embedding again; local:NAME and milvus:NAME say where each is."""
    from indexing.cli import upkeep  # noqa: PLC0415

    upkeep.copied(source, target)
