"""Where collections are kept, how they are created and deleted, and which generation of one is in use."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from indexing.errors import DamagedIndexError, IndexingError, UnknownCollectionError
from indexing.store.check import check_collection_name, is_collection_name
from indexing.store.database import storage_errors
from indexing.store.disk import make_folder
from indexing.store.local.generation import DATABASE, Generation
from indexing.store.lock import WriterLock, delete_unused
from indexing.store.manifest import Manifest
from services.disk import fsync, fsync_tree
from services.errors import RaglineError

_CURRENT = "CURRENT"
"""The file that names the generation in use; replaced in one step."""
_CREATED = ".new"
"""The first generation, until it is whole."""
_GENERATION = re.compile(rb"g[0-9]{6,}")


def collection_path(data_dir: Path, name: str) -> Path:
    """Raises CollectionNameError."""
    check_collection_name(name)
    return data_dir / "index" / name


def collections(data_dir: Path) -> list[str]:
    """The names of all collections, sorted."""
    paths = (data_dir / "index").glob("*")
    return sorted(path.name for path in paths if is_collection_name(path.name) and is_collection(path))


def is_collection(path: Path) -> bool:
    return bool(_generations(path)) or ((path / _CURRENT).exists() and not (path / _CREATED).exists())


def create(path: Path, manifest: Manifest) -> None:
    """Create an empty collection, unless another process has just done it.

    Raises IndexMismatchError where none can be made of this manifest.
    """
    Generation.check(manifest)
    with storage_errors(path):
        make_folder(path)
        try:
            with locked(path):
                if not is_collection(path):
                    made, first = path / _CREATED, path / _generation_name(1)
                    shutil.rmtree(made, ignore_errors=True)  # left by a process that was killed in here
                    Generation.create(made, manifest)
                    fsync_tree(made)
                    point_to(path, first.name)  # first: a generation without CURRENT would be damage
                    made.rename(first)
                    fsync(path)
        except UnknownCollectionError:  # deleted by another process since its folder was made
            create(path, manifest)


def drop(path: Path) -> None:
    """Delete a collection. Raises UnknownCollectionError, IndexBusyError."""
    if not is_collection(path):
        raise UnknownCollectionError(f"there is no collection {path.name!r}")
    dropped = path.with_name(f".{path.name}.dropped")
    with storage_errors(path), locked(path):
        shutil.rmtree(dropped, ignore_errors=True)  # left by a process that was killed in here
        path.rename(dropped)  # at once, so that nobody makes it anew in a folder that is being deleted
        fsync(path.parent)
        shutil.rmtree(dropped)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the writer's lock. Raises IndexBusyError, and UnknownCollectionError where the folder is gone."""
    lock = WriterLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def current_generation(path: Path) -> Path:
    """Raises FileNotFoundError where CURRENT is missing, and DamagedIndexError where it names no generation."""
    name = (path / _CURRENT).read_bytes().strip()
    if not _GENERATION.fullmatch(name):
        raise _damaged(path, "does not name a generation")
    return path / name.decode()


def recover(path: Path) -> None:
    """Write CURRENT again where it is missing or names no generation; the newest generation is the one in use.

    Raises UnknownCollectionError, and DamagedIndexError where there is no generation.
    """
    if not is_collection(path):
        raise UnknownCollectionError(f"there is no collection {path.name!r}")
    with storage_errors(path), locked(path):
        try:
            if current_generation(path).is_dir():
                return
        except (FileNotFoundError, DamagedIndexError):
            pass
        found = _generations(path)
        if not found:
            raise lost(path)
        point_to(path, found[-1].name)


def lost(path: Path) -> DamagedIndexError:
    return DamagedIndexError(
        f"collection {path.name!r} has lost its documents ({DATABASE} in {path}): run `ragline index restore SNAPSHOT"
        f" --collection {path.name}`, or without a snapshot delete {path} and index again"
    )


def _damaged(path: Path, what: str) -> DamagedIndexError:
    return DamagedIndexError(f"{path / _CURRENT} {what}: run `ragline index repair --collection {path.name}`")


def next_generation(path: Path) -> Path:
    """A path for a new generation."""
    found = _generations(path)
    return path / _generation_name(1 + _number(found[-1]) if found else 1)


def swap(path: Path, generation: Path) -> None:
    """Replace the generation in use, with the writer's lock held. Each older one goes once no process has it open."""
    point_to(path, generation.name)
    reclaim(path)


def reclaim(path: Path) -> None:
    """Delete the generations that are older than the one in use, and that no process has open."""
    with suppress(OSError, DamagedIndexError):
        current = _number(current_generation(path))
        for each in _generations(path):
            if _number(each) < current:
                delete_unused(each)


def point_to(path: Path, generation: str) -> None:
    """Write the name of a generation, which is flushed, into CURRENT: durably and in one step."""
    temporary = path / f"{_CURRENT}.new"
    temporary.write_text(generation)
    fsync(temporary)
    fsync(path)  # so that the generation is there before it is named
    temporary.replace(path / _CURRENT)
    fsync(path)


def _generations(path: Path) -> list[Path]:
    """All that lie in the collection's folder, the newest last."""
    return sorted((each for each in path.glob("g*") if _GENERATION.fullmatch(each.name.encode())), key=_number)


def _number(generation: Path) -> int:
    return int(generation.name[1:])


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
        reclaim(path)

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
        missing = ""
        while True:
            try:
                stat = current.stat()
                if (stat.st_ino, stat.st_mtime_ns) == self._seen:
                    return
                opened = Generation.open(current_generation(self._path), self._threads)
            except FileNotFoundError as exc:
                if not current.exists() or exc.filename == missing:
                    raise self._missing() from exc
                missing = exc.filename  # replaced and deleted meanwhile, unless it is still in use
                continue
            self._seen = (stat.st_ino, stat.st_mtime_ns)
            self._replace(opened)
            return

    def _missing(self) -> RaglineError:
        if not is_collection(self._path):
            name = self._path.name
            return UnknownCollectionError(
                f"there is no collection {name!r}; `ragline index --collection {name} PATH` makes one"
            )
        try:
            named = current_generation(self._path)
        except FileNotFoundError:
            return _damaged(self._path, "is missing")
        if named.is_dir() or not _generations(self._path):
            return lost(self._path)
        return _damaged(self._path, f"names {named.name}, which is missing")

    def _replace(self, generation: Generation | None) -> None:
        if self._generation is not None:
            self._users.setdefault(self._generation, 0)
        self._generation = generation
        self._close_unused()

    def _close_unused(self) -> None:
        unused = [each for each, users in self._users.items() if not users and each is not self._generation]
        for generation in unused:
            del self._users[generation]
            generation.close()
        if unused:
            reclaim(self._path)
