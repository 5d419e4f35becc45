"""Where collections live, how one comes and goes, and which of its generations is in use."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.errors import IndexingError, UnknownCollectionError
from indexing.store.check import check_collection_name, is_collection_name
from indexing.store.database import storage_errors
from indexing.store.disk import fsync
from indexing.store.local.generation import Generation
from indexing.store.lock import WriterLock
from indexing.store.manifest import Manifest

_LOCK_TIMEOUT_S = 60.0
_ATTEMPTS = 5
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


class CurrentGeneration:
    """For any thread. A generation that was replaced is closed when the last that uses it lets go."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises UnknownCollectionError where there is none."""
        self._path = path
        self._threads = threads
        self._guard = threading.Lock()
        self._users: dict[Generation, int] = {}
        self._closed = False
        self._seen = (0, 0)
        self._generation: Generation | None = None
        self._refresh()

    @contextmanager
    def using(self) -> Iterator[Generation]:
        with self._guard:
            self._refresh()
            generation = self._generation
            if generation is None:
                raise IndexingError(f"the store of {self._path} is closed")
            self._users[generation] = self._users.get(generation, 0) + 1
        try:
            yield generation
        finally:
            with self._guard:
                self._users[generation] -= 1
                self._close_unused()

    def close(self) -> None:
        """What still runs ends first, and then its generation is closed."""
        with self._guard:
            self._closed = True
            if self._generation is not None:
                self._users.setdefault(self._generation, 0)
            self._generation = None
            self._close_unused()

    def _refresh(self) -> None:
        if self._closed:
            return
        current = self._path / CURRENT
        for attempt in range(_ATTEMPTS):
            try:
                stat = current.stat()
                if (stat.st_ino, stat.st_mtime_ns) == self._seen:
                    return
                opened = Generation.open(self._path / current.read_text().strip(), self._threads)
            except FileNotFoundError as exc:
                if attempt + 1 == _ATTEMPTS or not current.exists():
                    raise _unknown(self._path) from exc
                continue
            if self._generation is not None:
                self._users.setdefault(self._generation, 0)
            self._generation, self._seen = opened, (stat.st_ino, stat.st_mtime_ns)
            self._close_unused()
            return

    def _close_unused(self) -> None:
        for generation, users in list(self._users.items()):
            if not users and generation is not self._generation:
                del self._users[generation]
                generation.close()


def _unknown(path: Path) -> UnknownCollectionError:
    return UnknownCollectionError(
        f"there is no collection {path.name!r}; `ragline index --collection {path.name} PATH` makes one"
    )
