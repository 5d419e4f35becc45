"""Where collections live, what they may be called, and how one comes and goes."""

import shutil
from pathlib import Path

from indexing.errors import UnknownCollectionError
from indexing.store.check import check_collection_name, is_collection_name
from indexing.store.database import storage_errors
from indexing.store.disk import fsync
from indexing.store.local.generation import Generation
from indexing.store.lock import WriterLock
from indexing.store.manifest import Manifest

_LOCK_TIMEOUT_S = 60.0
CURRENT = "CURRENT"
"""The file that names the generation in use; replaced in one step."""


def collection_path(data_dir: Path, name: str) -> Path:
    """Raises CollectionNameError."""
    check_collection_name(name)
    return data_dir / "index" / name


def collections(data_dir: Path) -> list[str]:
    """The names of all collections, sorted."""
    directory = data_dir / "index"
    if not directory.is_dir():
        return []
    return sorted(path.name for path in directory.iterdir() if is_collection_name(path.name) and is_collection(path))


def is_collection(path: Path) -> bool:
    return (path / CURRENT).is_file()


def create(path: Path, manifest: Manifest) -> None:
    """Make an empty collection, unless another process has just done it. What a killed one left there is removed."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(path)
        lock.acquire(_LOCK_TIMEOUT_S)
        try:
            if not (path / CURRENT).exists():
                shutil.rmtree(path / generation_name(1), ignore_errors=True)
                Generation.create(path / generation_name(1), manifest)
                point_to(path, generation_name(1))
        finally:
            lock.release()


def drop(path: Path) -> None:
    """Delete a collection and all that is in it. Raises UnknownCollectionError, IndexBusyError."""
    lock = WriterLock(path)
    if not is_collection(path):
        raise UnknownCollectionError(f"there is no collection {path.name!r}")
    lock.acquire(_LOCK_TIMEOUT_S)
    try:
        (path / CURRENT).unlink()
        shutil.rmtree(path)
    finally:
        lock.release()


def next_generation(path: Path) -> Path:
    """Where the next generation of a collection goes; the collection need not be there."""
    path.mkdir(parents=True, exist_ok=True)
    return path / generation_name(1 + max((int(each.name[1:]) for each in path.glob("g[0-9]*")), default=0))


def install_generation(path: Path, generation: Path) -> None:
    """Make it the one in use, when nobody writes to the one before."""
    lock = WriterLock(path)
    lock.acquire(_LOCK_TIMEOUT_S)
    try:
        swap(path, generation)
    finally:
        lock.release()


def swap(path: Path, generation: Path) -> None:
    """As install_generation, for who has the lock. The last one stays: another process may be leaving it only now."""
    before = (path / CURRENT).read_text().strip() if is_collection(path) else ""
    point_to(path, generation.name)
    for each in path.glob("g[0-9]*"):
        if each.name not in {before, generation.name}:
            shutil.rmtree(each, ignore_errors=True)


def generation_name(number: int) -> str:
    return f"g{number:06}"


def point_to(path: Path, generation: str) -> None:
    """Make a generation the one in use, in one durable step."""
    temporary = path / f"{CURRENT}.new"
    temporary.write_text(generation)
    for each in (temporary, path / generation, path):
        fsync(each)
    temporary.replace(path / CURRENT)
    fsync(path)
