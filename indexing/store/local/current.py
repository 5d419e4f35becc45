"""The generation in use: opened once, and followed when another is put in its place."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.errors import IndexingError, UnknownCollectionError
from indexing.store.local.collection import CURRENT
from indexing.store.local.generation import Generation

_ATTEMPTS = 5


class Current:
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
        self._follow()

    @contextmanager
    def using(self) -> Iterator[Generation]:
        with self._guard:
            self._follow()
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

    def _follow(self) -> None:
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
