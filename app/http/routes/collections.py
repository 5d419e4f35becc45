"""Collections."""

import logging

from fastapi import APIRouter, Response

from app.http.orchestrator import Here, Orchestrator
from app.http.schema import Collection, CollectionBody, CollectionList, CollectionOut
from services.errors import ConflictError, RaglineError
from services.protocol import ErrorBody

log = logging.getLogger(__name__)

router = APIRouter(prefix="/collections", tags=["collections"])


@router.get("")
async def list_collections(here: Here) -> CollectionList:
    """List the collections that can be opened; the log says why one cannot."""
    described = []
    for name in await here.library.names():
        try:
            described.append(await _described(name, here))
        except RaglineError as exc:
            log.warning("collection %r is left out: %s", name, exc)
    return CollectionList(collections=described, default=await here.library.default())


@router.post("", status_code=201, responses={409: {"model": ErrorBody}})
async def create(body: CollectionBody, here: Here) -> CollectionOut:
    """Create an empty collection; 409 where the name is taken."""
    if body.name in await here.library.names():
        raise ConflictError(f"there is a collection {body.name!r} already", param="name")
    await here.ingest.create(body.name)
    return await _described(body.name, here)


@router.get("/{name}")
async def get(name: Collection, here: Here) -> CollectionOut:
    return await _described(name, here)


@router.delete("/{name}", status_code=204)
async def delete(name: Collection, here: Here) -> Response:
    """Delete a collection and its documents."""
    here.library.check_writable(name)
    await here.ingest.drop(name)
    return Response(status_code=204)


async def _described(name: str, here: Orchestrator) -> CollectionOut:
    store = await here.library.store(name)
    stats = await here.library.run(store.stats)
    return CollectionOut(
        name=name, documents=stats.documents, chunks=stats.chunks, read_only=here.library.is_read_only(name)
    )
