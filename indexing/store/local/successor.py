"""A collection with another manifest that is built beside the one in use, and then replaces it."""

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from indexing.errors import DamagedIndexError
from indexing.store.local.collection import current_generation, drop, is_collection, next_generation, point_to, swap
from indexing.store.local.generation import Generation
from indexing.store.local.sqlite.rows import versions
from indexing.store.local.writer import Writer
from indexing.store.manifest import Manifest

_NEXT = ".next"
"""Inside the collection: a collection of its own, so that an interrupted reindex goes on with it."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What a successor has yet to do; false where there is nothing."""

    put: tuple[str, ...]
    """Ids of documents that it lacks, or has in another version."""
    delete: tuple[str, ...]
    """Ids of documents that only it has."""

    def __bool__(self) -> bool:
        return bool(self.put or self.delete)


def lag_between(old: sqlite3.Connection, new: sqlite3.Connection) -> Lag:
    """Joins the documents of both in the order of their ids."""
    put, delete = [], []
    wanted, there = versions(old), versions(new)
    mine, other = next(wanted, None), next(there, None)
    while mine or other:
        if other is None or (mine is not None and mine[0] < other[0]):
            assert mine is not None  # noqa: S101 (one of the two is there)
            put.append(mine[0])
            mine = next(wanted, None)
        elif mine is None or other[0] < mine[0]:
            delete.append(other[0])
            other = next(there, None)
        else:
            if mine != other:
                put.append(mine[0])
            mine, other = next(wanted, None), next(there, None)
    return Lag(tuple(put), tuple(delete))


def successor_path(path: Path, manifest: Manifest) -> Path:
    """Where the successor of the collection at `path` is built. Deletes one that has another manifest."""
    successor = path / _NEXT
    if is_collection(successor) and _manifest(successor) != manifest:
        drop(successor)
    return successor


def _manifest(path: Path) -> Manifest | None:
    """None where the generation in use is missing: install() was killed after it had moved it."""
    try:
        generation = Generation.open(current_generation(path), threads=1)
    except (FileNotFoundError, DamagedIndexError):
        return None
    try:
        return generation.manifest
    finally:
        generation.close()


def install(path: Path, successor: Path) -> None:
    """Move the successor's generation into the collection, with the writer's lock of both held.

    A process that is killed in here leaves a successor without a generation, which successor_path() deletes.
    """
    target = next_generation(path)
    current_generation(successor).rename(target)
    swap(path, target)
    shutil.rmtree(successor)


def adopt(writer: Writer, wanted: Manifest) -> None:
    with writer.exclusive() as generation:
        have = generation.manifest
        have.check_made_for(wanted, generation.path.parent)
        if not have.differences(wanted):
            return
        Generation.check(wanted)
        if have.language != wanted.language:
            generation.sparse.rebuild(wanted.language)
        with generation.database.writing() as connection:
            connection.execute("UPDATE meta SET value = ? WHERE name = 'manifest'", (wanted.to_json(),))
        point_to(generation.path.parent, generation.path.name)  # so that every process opens it again
    writer.merge(whole=True)
