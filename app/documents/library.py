"""The collections: their stores, opened once, on threads of their own."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.answer.passages import Query
from app.settings import AppSettings
from indexing.document import Hit, StoredChunk
from indexing.store.interface import DocumentStore, Stores
from indexing.store.manifest import Manifest
from indexing.store.open import stores_of
from services.errors import NotFoundError

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8


class Library:
    """Finds the store of a collection; every call of a store leaves the event loop."""

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self._place: Stores | None = None
        self._stores: dict[str, DocumentStore] = {}
        self._connecting = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="index")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call of a store on an index thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    async def names(self) -> list[str]:
        return await self.run((await self._there()).names)

    async def default(self) -> str:
        """Where a request goes that names no collection: ask.collection; where that is not there, the only one."""
        name = self._settings.ask.collection
        if name in self._stores:
            return name
        names = await self.names()
        return names[0] if name not in names and len(names) == 1 else name

    async def create(self, name: str, manifest: Manifest) -> None:
        """Raises IndexMismatchError where there is one that was built otherwise."""
        (await self.run((await self._there()).create_or_open, name, manifest)).close()

    async def store(self, name: str) -> DocumentStore:
        """The open store of a collection. Raises NotFoundError for one that is not there."""
        async with self._opening:
            if name not in self._stores:
                if name not in await self.names():
                    raise NotFoundError(await self._missing(name), param="collection")
                self._stores[name] = await self.run((await self._there()).open, name)
            return self._stores[name]

    async def drop(self, name: str) -> None:
        """Delete a collection with all that it holds. Raises NotFoundError."""
        if name not in await self.names():
            raise NotFoundError(await self._missing(name), param="collection")
        async with self._opening:
            if store := self._stores.pop(name, None):
                await self.run(store.close)
            await self.run((await self._there()).drop, name)

    async def check_model(self, name: str, model: str, query_prefix: str) -> None:
        """Raises IndexMismatchError where the collection's vectors are another model's."""
        store = await self.store(name)
        manifest = await self.run(lambda: store.manifest)
        manifest.check(replace(manifest, embedding_model=model, query_prefix=query_prefix), Path(name))

    async def search_dense(self, query: Query, vector: NDArray[np.float32] | None) -> list[Hit]:
        """The top_k nearest; [] without a vector."""
        store = await self.store(query.collection)
        return [] if vector is None else await self.run(store.search_dense, vector, query.top_k, query.filters)

    async def search_sparse(self, query: Query) -> list[Hit]:
        """The top_k by BM25."""
        store = await self.store(query.collection)
        return await self.run(store.search_sparse, query.text, query.top_k, query.filters)

    async def chunks(self, query: Query, ids: Sequence[int]) -> list[StoredChunk]:
        store = await self.store(query.collection)
        return await self.run(store.chunks, ids)

    async def check_not_empty(self, name: str) -> None:
        """Raises NotFoundError for a collection without documents, or that is not there."""
        store = await self.store(name)
        if not (await self.run(store.stats)).documents:
            raise NotFoundError(f"the collection {name!r} holds no documents; {_HOW_TO_ADD}", param="collection")

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        for store in self._stores.values():
            store.close()
        if self._place is not None:
            self._place.close()

    async def _there(self) -> Stores:
        """Where the collections are; it may be away when this process starts."""
        async with self._connecting:
            if self._place is None:
                self._place = await self.run(stores_of, self._settings)
            return self._place

    async def _missing(self, name: str) -> str:
        known = await self.names()
        there = f"there are {', '.join(map(repr, known))}" if known else "nothing is indexed yet"
        return f"no collection {name!r}; {there}; {_HOW_TO_ADD}"


_HOW_TO_ADD = "add documents by `ragline index PATH`, or by POST /documents"
