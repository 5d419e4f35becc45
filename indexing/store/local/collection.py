"""Where collections are kept, how they are created and deleted, and which generation of one is in use."""

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

_ATTEMPTS = 5
_CURRENT = "CURRENT"
"""The file that names the generation in use; replaced in one step."""


def collection_path(data_dir: Path, name: str) -> Path:
    """Raises CollectionNameError."""
    check_collection_name(name)
    return data_dir / "index" / name


def collections(data_dir: Path) -> list[str]:
    """The names of all collections, sorted."""
    paths = (data_dir / "index").glob("*")
    return sorted(path.name for path in paths if is_collection_name(path.name) and is_collection(path))


def is_collection(path: Path) -> bool:
    return (path / _CURRENT).is_file()


def create(path: Path, manifest: Manifest) -> None:
    """Create an empty collection, unless another process has just done it."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with locked(path):
            if not is_collection(path):
                first = path / _generation_name(1)
                shutil.rmtree(first, ignore_errors=True)  # left by a process that was killed in here
                Generation.create(first, manifest)
                point_to(path, first.name)


def drop(path: Path) -> None:
    """Delete a collection. Raises UnknownCollectionError, IndexBusyError."""
    if not is_collection(path):
        raise UnknownCollectionError(f"there is no collection {path.name!r}")
    with locked(path):
        (path / _CURRENT).unlink()
        shutil.rmtree(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the writer's lock. Raises IndexBusyError."""
    lock = WriterLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def current_generation(path: Path) -> Path:
    """Raises FileNotFoundError where there is no collection."""
    return path / (path / _CURRENT).read_text().strip()


def next_generation(path: Path) -> Path:
    """A path for a new generation. Creates the collection's folder where there is none."""
    path.mkdir(parents=True, exist_ok=True)
    return path / _generation_name(1 + max((int(each.name[1:]) for each in path.glob("g[0-9]*")), default=0))


def swap(path: Path, generation: Path) -> None:
    """Replace the generation in use, with the writer's lock held. Deletes all but this one and the one before.

    The one before stays because other processes may be reading it until they look at CURRENT again.
    """
    before = current_generation(path).name if is_collection(path) else ""
    point_to(path, generation.name)
    for each in path.glob("g[0-9]*"):
        if each.name not in {before, generation.name}:
            shutil.rmtree(each, ignore_errors=True)


def point_to(path: Path, generation: str) -> None:
    """Write the generation's name into CURRENT, durably and in one step."""
    temporary = path / f"{_CURRENT}.new"
    temporary.write_text(generation)
    for each in (temporary, path / generation, path):
        fsync(each)
    temporary.replace(path / _CURRENT)
    fsync(path)


def _generation_name(number: int) -> str:
    return f"g{number:06}"


class CurrentGeneration:
    """The generation in use; opens another as soon as CURRENT names it. For any thread."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises UnknownCollectionError."""
        self._path = path
        self._threads = threads
        self._lock = threading.Lock()
        self._users: dict[Generation, int] = {}
        self._closed = False
        self._seen = (0, 0)
        self._generation: Generation | None = None
        self._refresh()

    @contextmanager
    def using(self) -> Iterator[Generation]:
        """A generation stays open until its last user has left this context."""
        with self._lock:
            self._refresh()
            generation = self._generation
            if generation is None:
                raise IndexingError(f"the store of {self._path} is closed")
            self._users[generation] = self._users.get(generation, 0) + 1
        try:
            yield generation
        finally:
            with self._lock:
                self._users[generation] -= 1
                self._close_unused()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._replace(None)

    def _refresh(self) -> None:
        if self._closed:
            return
        current = self._path / _CURRENT
        for attempt in range(_ATTEMPTS):
            try:
                stat = current.stat()
                if (stat.st_ino, stat.st_mtime_ns) == self._seen:
                    return
                opened = Generation.open(current_generation(self._path), self._threads)
            except FileNotFoundError as exc:
                if attempt + 1 == _ATTEMPTS or not current.exists():
                    name = self._path.name
                    raise UnknownCollectionError(
                        f"there is no collection {name!r}; `ragline index --collection {name} PATH` makes one"
                    ) from exc
                continue
            self._seen = (stat.st_ino, stat.st_mtime_ns)
            self._replace(opened)
            return

    def _replace(self, generation: Generation | None) -> None:
        if self._generation is not None:
            self._users.setdefault(self._generation, 0)
        self._generation = generation
        self._close_unused()

    def _close_unused(self) -> None:
        for generation, users in list(self._users.items()):
            if not users and generation is not self._generation:
                del self._users[generation]
                generation.close()
