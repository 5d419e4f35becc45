"""The collections in a Milvus."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from indexing.errors import UnknownCollectionError
from indexing.settings import MilvusSettings
from indexing.store.analyzer import analyzer
from indexing.store.check import check_collection_name
from indexing.store.database import Database
from indexing.store.manifest import Manifest
from indexing.store.milvus import schema
from indexing.store.milvus.client import Client
from indexing.store.milvus.expressions import literal
from indexing.store.milvus.schema import Names
from indexing.store.milvus.store import MilvusJobs, MilvusStore


class MilvusStores:
    def __init__(self, settings: MilvusSettings, data_dir: Path) -> None:
        """Jobs are kept in `data_dir`. Raises UnavailableError."""
        self._prefix = settings.prefix
        self._catalog = f"{settings.prefix}collections"
        self._data_dir = data_dir
        self._client = Client(settings)
        if not self._client.has(self._catalog):
            self._client.create(self._catalog, *schema.catalog())

    def names(self) -> list[str]:
        return [row["name"] for page in self._client.pages(self._catalog, "", ["name"]) for row in page]

    def jobs(self, name: str) -> MilvusJobs:
        self._names(name)
        return MilvusJobs(name, self._jobs(name))

    def open(self, name: str) -> MilvusStore:
        names, manifest = self._names(name), self._manifest(name)
        if manifest is None:
            raise UnknownCollectionError(
                f"there is no collection {name!r} in Milvus; `ragline index --collection {name} PATH` makes one"
            )
        for each in (names.documents, names.texts, names.chunks):
            self._client.load(each)
        return MilvusStore(name, self._client, names, manifest, self._jobs(name))

    def create_or_open(self, name: str, manifest: Manifest) -> MilvusStore:
        there = self._manifest(name)
        if there is None:
            self._create(name, manifest)
        else:
            there.check(manifest, Path(name), _REMEDY)
        return self.open(name)

    def _create(self, name: str, manifest: Manifest) -> None:
        """The row is last: it makes the collection exist."""
        names = self._names(name)
        analyzer(manifest.language)
        chunks = schema.chunks(manifest, lite=self._client.is_lite)
        self._client.create(names.documents, *schema.documents())
        self._client.create(names.texts, *schema.texts())
        self._client.create(names.chunks, *chunks)
        row = {"name": name, "manifest": manifest.to_json(), schema.VECTOR: schema.NO_VECTOR}
        self._client.upsert(self._catalog, [row])

    def drop(self, name: str) -> None:
        names = self._names(name)
        if self._manifest(name) is None:
            raise UnknownCollectionError(f"there is no collection {name!r} in Milvus")
        self._client.delete(self._catalog, f"name == {literal(name)}")
        for each in (names.chunks, names.documents, names.texts):
            self._client.drop(each)
        for file in self._jobs_path(name).parent.glob(f"{name}.*"):  # and the leases of jobs; a name has no dot
            file.unlink(missing_ok=True)

    def close(self) -> None:
        self._client.close()

    def _names(self, name: str) -> Names:
        check_collection_name(name)
        return Names.of(self._prefix, name)

    def _manifest(self, name: str) -> Manifest | None:
        self._names(name)
        found = self._client.query(self._catalog, f"name == {literal(name)}", ["manifest"], "Strong")
        return Manifest.from_json(found[0]["manifest"], Path(name)) if found else None

    def _jobs(self, name: str) -> Database:
        """The file is created whole and once, even by two processes."""
        path = self._jobs_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with TemporaryDirectory(dir=path.parent) as folder:
                made = Path(folder, path.name)
                Database.create(made, "", dimension=0).close()
                with suppress(FileExistsError):  # by another process
                    path.hardlink_to(made)
        return Database.open(path)

    def _jobs_path(self, name: str) -> Path:
        return self._data_dir / "milvus" / f"{name}.sqlite3"


_REMEDY = "Index into another collection, or set these values back"
