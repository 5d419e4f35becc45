"""The collections: opens the store of each once, and runs its blocking calls on threads."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from app.settings import AppSettings
from indexing.document import Hit, StoredChunk
from indexing.store.filters import Filters
from indexing.store.interface import DocumentStore, Stores, Vectors
from indexing.store.jobs import Job
from indexing.store.manifest import Manifest
from indexing.store.open import stores_of
from services.errors import ForbiddenError, NotFoundError

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8


class Library:
    """Finds the store of a collection; every call of a store leaves the event loop."""

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self._collections: Stores | None = None
        self._stores: dict[str, DocumentStore] = {}
        self._connecting = asyncio.Lock()
        self._opening = WeakValueDictionary[str, asyncio.Lock]()
        """One lock a collection, so that none waits for another to open."""
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="index")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call of a store on an index thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    async def names(self) -> list[str]:
        return await self.run((await self._connected()).names)

    async def default(self) -> str:
        """Return ask.collection; if it is empty or does not exist, and exactly one other collection does, that one."""
        name = self._settings.ask.collection
        names = set(await self.names())
        if name in names and (await self.run((await self.store(name)).stats)).documents:
            return name
        others = names - {name}
        return others.pop() if len(others) == 1 else name

    async def default_for_uploads(self) -> str:
        """Return where an upload goes that names no collection: default(), unless that is read-only."""
        name = await self.default()
        return self._settings.ask.collection if self.is_read_only(name) else name

    def is_read_only(self, name: str) -> bool:
        return name in self._settings.server.read_only

    def check_writable(self, name: str) -> None:
        """Raises ForbiddenError for a collection of server.read_only."""
        if self.is_read_only(name):
            raise ForbiddenError(f"the collection {name!r} is read-only (server.read_only); name another")

    async def create(self, name: str, manifest: Manifest) -> None:
        """Create a collection unless it exists. Raises IndexMismatchError where it was built for another model."""
        store = await self.run((await self._connected()).create_or_open, name, manifest)
        await self.run(store.close)

    async def store(self, name: str) -> DocumentStore:
        """Return the open store of a collection. Raises NotFoundError."""
        async with self._lock_of(name):
            if name not in self._stores:
                if name not in await self.names():
                    raise NotFoundError(await self._missing(name), param="collection")
                self._stores[name] = await self.run((await self._connected()).open, name)
            return self._stores[name]

    async def drop(self, name: str) -> None:
        """Delete a collection and its documents. Raises NotFoundError."""
        async with self._lock_of(name):
            if name not in await self.names():
                raise NotFoundError(await self._missing(name), param="collection")
            if store := self._stores.pop(name, None):
                await self.run(store.close)
            await self.run((await self._connected()).drop, name)

    def _lock_of(self, name: str) -> asyncio.Lock:
        return self._opening.setdefault(name, asyncio.Lock())

    async def job(self, name: str, job_id: str) -> Job:
        """Return a job of a collection, which is not opened for it. Raises UnknownJobError, UnknownCollectionError."""
        if name in self._stores:
            return await self.run(self._stores[name].job, job_id)
        return await self.run(_job, await self._connected(), name, job_id)

    async def check_model(self, name: str, model: str, query_prefix: str) -> None:
        """Raises IndexMismatchError where the collection's vectors are another model's."""
        store = await self.store(name)
        manifest = await self.run(lambda: store.manifest)
        manifest.check(replace(manifest, embedding_model=model, query_prefix=query_prefix), Path(name))

    async def search_dense(self, name: str, vector: Vectors, k: int, filters: Filters | None) -> list[Hit]:
        """Return the k chunks of a collection nearest to a vector, best first."""
        return await self.run((await self.store(name)).search_dense, vector, k, filters)

    async def search_sparse(self, name: str, text: str, k: int, filters: Filters | None) -> list[Hit]:
        """Return the k chunks of a collection that BM25 ranks first."""
        return await self.run((await self.store(name)).search_sparse, text, k, filters)

    async def chunks(self, name: str, ids: Sequence[int]) -> list[StoredChunk]:
        """Return the chunks with these ids; those that are gone are left out."""
        return await self.run((await self.store(name)).chunks, ids)

    async def pages(self, name: str, document_ids: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Return the page starts of documents by their id; () for one without pages, or deleted meanwhile."""
        store = await self.store(name)
        rows = await self.run(lambda: {each: store.document(each) for each in document_ids})
        return {each: row.pages if row else () for each, row in rows.items()}

    async def version(self, name: str) -> str | None:
        """Return what each change of a collection changes; None where its store has nothing of the kind."""
        return await self.run((await self.store(name)).version)

    async def check_not_empty(self, name: str) -> None:
        """Raises NotFoundError for a collection without documents, or that is not there."""
        store = await self.store(name)
        if not (await self.run(store.stats)).documents:
            raise NotFoundError(f"the collection {name!r} holds no documents; {_HOW_TO_ADD}", param="collection")

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        for store in self._stores.values():
            store.close()
        if self._collections is not None:
            self._collections.close()

    async def _connected(self) -> Stores:
        """Connect to the collections' place on first use: a Milvus may come up after this process."""
        async with self._connecting:
            if self._collections is None:
                self._collections = await self.run(stores_of, self._settings)
            return self._collections

    async def _missing(self, name: str) -> str:
        known = await self.names()
        there = f"there are {', '.join(map(repr, known))}" if known else "nothing is indexed yet"
        return f"no collection {name!r}; {there}; {_HOW_TO_ADD}"


def _job(stores: Stores, name: str, job_id: str) -> Job:
    with stores.jobs(name) as jobs:
        return jobs.job(job_id)


_HOW_TO_ADD = "add documents by `ragline index PATH`, or by POST /documents"
