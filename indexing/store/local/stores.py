"""The collections of a data directory."""

from pathlib import Path

from indexing.errors import UnknownCollectionError
from indexing.store.local.collection import collection_path, collections, drop
from indexing.store.local.store import LocalJobs, Store
from indexing.store.manifest import Manifest


class LocalStores:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def names(self) -> list[str]:
        return collections(self._data_dir)

    def open(self, name: str) -> Store:
        try:
            return Store.open(self._path(name))
        except UnknownCollectionError as exc:
            there = ", ".join(self.names()) or "none yet"
            raise UnknownCollectionError(f"{exc}. The collections are: {there}") from exc

    def jobs(self, name: str) -> LocalJobs:
        return LocalJobs(self._path(name))

    def create_or_open(self, name: str, manifest: Manifest) -> Store:
        return Store.create_or_open(self._path(name), manifest)

    def drop(self, name: str) -> None:
        drop(self._path(name))

    def close(self) -> None:
        pass

    def _path(self, name: str) -> Path:
        return collection_path(self._data_dir, name)
