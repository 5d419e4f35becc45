"""Opens the store that `index.store` names."""

from indexing.errors import IndexingError
from indexing.settings import IndexingSettings, StoreKind
from indexing.store.interface import Stores
from indexing.store.local import LocalStores


def stores_of(settings: IndexingSettings, kind: StoreKind | None = None) -> Stores:
    """The collections of `kind`, by default of `index.store`. Raises IndexingError, UnavailableError."""
    if (kind or settings.index.store) == "local":
        return LocalStores(settings.data_dir)
    try:
        from indexing.store.milvus import MilvusStores  # noqa: PLC0415 (an extra, and a second to import)
    except ModuleNotFoundError as exc:
        raise IndexingError(
            f"index.store is 'milvus', and {exc.name} is not installed: run `pip install ragline[milvus]`"
        ) from exc
    return MilvusStores(settings.milvus, settings.data_dir)
