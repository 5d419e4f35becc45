"""Snapshots: a directory with the files of a generation and their checksums, from which it can be restored."""

import json
import shutil
import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from indexing.errors import DamagedIndexError, IndexBusyError, StorageError, UnknownCollectionError
from indexing.store.database import storage_errors
from indexing.store.disk import make_folder
from indexing.store.local.collection import locked, next_generation, swap
from indexing.store.local.dense.segment import read_segments
from indexing.store.local.generation import DATABASE, VECTORS
from indexing.store.local.writer import Writer
from indexing.store.lock import try_lock
from services.disk import fsync, fsync_tree, sha256

_LIST = "SNAPSHOT.json"
_VERSION = 1


def snapshot(writer: Writer, target: Path) -> None:
    """Copy what is committed to `target`. Searches and writes go on.

    Raises StorageError where `target` exists or cannot be written; then nothing is left of the copy.
    """
    if target.exists():
        raise StorageError(f"{target} exists: name a folder that does not")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with storage_errors(target):
        make_folder(target.parent)
        temporary.mkdir()
        try:
            _copy(writer, temporary)
            _finish(temporary)
            temporary.replace(target)
            fsync(target.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _copy(writer: Writer, to: Path) -> None:
    """Copy BM25 as it is, then SQLite, which is no older, then the segments that SQLite names."""
    with writer.merges_paused() as generation:
        links = generation.path / ".snapshot"
        shutil.rmtree(links, ignore_errors=True)
        try:
            with writer.writing():
                bm25 = generation.sparse.directory().name
                generation.sparse.current().link(links)
            shutil.copytree(links, to / bm25)
        finally:
            shutil.rmtree(links, ignore_errors=True)
        generation.database.back_up(to / DATABASE)
        with closing(sqlite3.connect(to / DATABASE)) as connection:
            segments = read_segments(connection)
        (to / VECTORS).mkdir()
        for row in segments:
            shutil.copyfile(generation.path / VECTORS / row.file, to / VECTORS / row.file)


def _finish(path: Path) -> None:
    """Write the list of files with their checksums, and flush all of them to the disk."""
    files = {str(file.relative_to(path)): sha256(file) for file in sorted(path.rglob("*")) if file.is_file()}
    (path / _LIST).write_text(json.dumps({"version": _VERSION, "created": time.time(), "files": files}, indent=1))
    fsync_tree(path)


def restore(source: Path, path: Path) -> None:
    """Replace the collection at `path`, or create it, by the snapshot in `source`.

    Raises DamagedIndexError where a file is missing or has changed, and UnknownCollectionError where there is no
    snapshot.
    """
    files = _read_list(source)
    with storage_errors(path):
        make_folder(path)
        with try_lock(path / "lock.restoring") as free:
            if not free:
                raise IndexBusyError(f"another process restores {path.name!r}", retry_after=60)
            made = path / ".restored"
            shutil.rmtree(made, ignore_errors=True)  # left by a process that was killed in here
            try:
                for name, digest in files.items():
                    _copy_checked(source / name, made / name, digest)
                (made / VECTORS).mkdir(exist_ok=True)
                fsync_tree(made)
                with locked(path):
                    target = next_generation(path)
                    made.rename(target)
                    swap(path, target)
            finally:
                shutil.rmtree(made, ignore_errors=True)


def _copy_checked(source: Path, target: Path, digest: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if sha256(target) != digest:
        raise DamagedIndexError(f"{source} has changed since the snapshot was taken")


def _read_list(source: Path) -> dict[str, str]:
    file = source / _LIST
    if not file.is_file():
        raise UnknownCollectionError(f"{source} is no snapshot: it has no {_LIST}")
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        files: dict[str, str] = content["files"]
    except (ValueError, KeyError, TypeError) as exc:
        raise DamagedIndexError(f"{file} is not readable: {exc}") from exc
    for name in files:
        if not (source / name).is_file() or not (source / name).resolve().is_relative_to(source.resolve()):
            raise DamagedIndexError(f"the snapshot lacks {name}")
    return files
