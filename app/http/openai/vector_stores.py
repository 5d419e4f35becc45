"""/v1/vector_stores: a vector store is a collection, and a file that is attached a document of it."""

import asyncio
import re
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from app.documents.spool import Submission
from app.http.openai.files import Deleted, Out, listed
from app.http.openai.front import name_of
from app.http.orchestrator import Here, Orchestrator
from app.http.queries import query_of
from app.http.schema import Scalar, SearchBody
from app.http.tracing import concluded, traced
from indexing.store.interface import with_records
from services.errors import ConflictError, NotFoundError, RaglineError
from services.protocol import ErrorBody, Wire

MAX_RESULTS = 50
_STATES = {"running": "in_progress", "done": "completed", "failed": "failed", "cancelled": "cancelled"}
Limit = Annotated[int, Query(ge=1, le=100)]

router = APIRouter(prefix="/v1", tags=["openai"])


class StoreBody(Wire):
    name: str | None = None
    file_ids: list[str] = Field(default_factory=list, max_length=100)


class AttachBody(Wire):
    file_id: str
    attributes: dict[str, Scalar] | None = None


class BatchBody(Wire):
    file_ids: list[str] = Field(min_length=1, max_length=100)
    attributes: dict[str, Scalar] | None = None


class SearchStoreBody(Wire):
    query: str | list[str]
    max_num_results: int = Field(10, ge=1, le=MAX_RESULTS)
    filters: dict[str, Any] | None = None


@router.post("/vector_stores", responses={409: {"model": ErrorBody}})
async def create(body: StoreBody, here: Here) -> Out:
    """Create a collection; its id is made of the name. 409 where there is one of this id."""
    name = re.sub(r"[^a-z0-9_-]+", "-", (body.name or "").lower()).strip("-_")[:64] or f"vs-{uuid.uuid4().hex[:12]}"
    if name in await here.library.names():
        raise ConflictError(f"there is a vector store {name!r} already", param="name")
    for file_id in body.file_ids:
        await here.library.run(here.files.get, file_id)
    await here.ingest.create(name)
    for file_id in body.file_ids:
        await _attach(here, name, file_id, {})
    return await _store(here, name)


@router.get("/vector_stores")
async def stores(here: Here) -> Out:
    """List the collections that can be opened."""
    found = []
    for name in await here.library.names():
        try:
            found.append(await _store(here, name))
        except RaglineError:  # GET /collections logs why
            continue
    return listed(found)


@router.get("/vector_stores/{name}")
async def store(name: str, here: Here) -> Out:
    return await _store(here, name)


@router.delete("/vector_stores/{name}")
async def delete(name: str, here: Here) -> Deleted:
    """Delete a collection and its documents."""
    here.library.check_writable(name)
    await here.ingest.drop(name)
    return Deleted(id=name, object="vector_store.deleted")


@router.post("/vector_stores/{name}/files")
async def attach(name: str, body: AttachBody, here: Here) -> Out:
    """Index a kept file; GET the same address with its id says how far that is."""
    await _attach(here, name, body.file_id, body.attributes or {})
    return await _attached(here, name, body.file_id)


@router.get("/vector_stores/{name}/files")
async def attached_files(name: str, here: Here, after: str | None = None, limit: Limit = 20) -> Out:
    """List the documents of a collection, in the order of their ids."""
    store = await here.library.store(name)
    rows, following = await here.library.run(store.documents, after, limit)
    return listed([_document(row.id, name, "completed", dict(row.metadata)) for row in rows], following is not None)


@router.get("/vector_stores/{name}/files/{file_id}")
async def attached_file(name: str, file_id: str, here: Here) -> Out:
    return await _attached(here, name, file_id)


@router.delete("/vector_stores/{name}/files/{file_id}")
async def detach(name: str, file_id: str, here: Here) -> Deleted:
    """Delete the document; the file stays kept."""
    here.library.check_writable(name)
    if not await here.ingest.delete(name, file_id):
        raise NotFoundError(f"there is no file {file_id[:80]!r} in {name!r}", param="file_id")
    return Deleted(id=file_id, object="vector_store.file.deleted")


@router.post("/vector_stores/{name}/file_batches")
async def attach_batch(name: str, body: BatchBody, here: Here) -> Out:
    """Index several kept files; the batch's id says which they are, so nothing of it is stored."""
    for file_id in body.file_ids:
        await here.library.run(here.files.get, file_id)
    for file_id in body.file_ids:
        await _attach(here, name, file_id, body.attributes or {})
    return await _batch(here, name, ".".join(["batch", *body.file_ids]))


@router.get("/vector_stores/{name}/file_batches/{batch_id}")
async def batch(name: str, batch_id: str, here: Here) -> Out:
    return await _batch(here, name, batch_id)


@router.post("/vector_stores/{name}/search")
async def search(name: str, body: SearchStoreBody, request: Request, here: Here) -> Out:
    """Find the passages for a query; of several, the best for any."""
    queries = [body.query] if isinstance(body.query, str) else body.query
    store = await here.library.store(name)
    if not queries or not (await here.library.run(store.stats)).documents:
        return _page(queries, [])
    fields = {"collection": name, "top_n": body.max_num_results, "filters": body.filters}
    bodies = [SearchBody.model_validate({**fields, "query": text}) for text in queries]
    found: dict[int, Out] = {}
    with traced(request, "; ".join(queries), here) as trace:
        searched = [await query_of(each, each.query, here, trace) for each in bodies]
        async for passages in here.pipeline.retrieve_each(searched, trace):
            for passage in passages:
                hit = {
                    "file_id": passage.chunk.document_id,
                    "filename": name_of(passage),
                    "score": passage.score,
                    "attributes": dict(passage.chunk.metadata),
                    "content": [{"type": "text", "text": passage.chunk.text}],
                }
                found[passage.chunk.id] = max(hit, found.get(passage.chunk.id, hit), key=lambda each: each["score"])
        concluded(trace, "done", here, here.bulkheads.searches)
    best = sorted(found.values(), key=lambda each: -each["score"])[: body.max_num_results]
    return _page(queries, best)


def _page(queries: Sequence[str], data: Sequence[Out]) -> Out:
    page = {"object": "vector_store.search_results.page", "search_query": queries, "data": data}
    return {**page, "has_more": False, "next_page": None}


async def _attach(here: Orchestrator, name: str, file_id: str, attributes: dict[str, Scalar]) -> None:
    file = await here.library.run(here.files.get, file_id)
    await here.library.store(name)
    here.library.check_writable(name)
    here.ingest.check_room()
    spool = here.ingest.spool
    content = await here.library.run(spool.receive)
    try:
        await here.library.run(here.files.copy, file_id, content)
        submission = Submission(name, file_id, file.name, "", is_text=False, metadata=attributes)
        accepted = await here.ingest.submit(submission, content)
    finally:
        await asyncio.shield(here.library.run(spool.discard, content))
    await here.library.run(here.files.attached, file_id, name, accepted.job_id)


async def _attached(here: Orchestrator, name: str, file_id: str) -> Out:
    """Return how far a file is: by its job where it came by this API, else by whether the document is there."""
    store = await here.library.store(name)
    try:
        job_id = (await here.library.run(here.files.get, file_id)).jobs[name]
        job = await here.ingest.job(job_id)
    except (NotFoundError, KeyError):
        if not await here.library.run(with_records, store, file_id):
            raise NotFoundError(f"there is no file {file_id[:80]!r} in {name!r}", param="file_id") from None
        return _document(file_id, name, "completed")
    why = "; ".join(reason for _, reason in job.failures) or job.message
    return _document(file_id, name, _STATES[job.state], error=why if job.state == "failed" else "")


async def _batch(here: Orchestrator, name: str, batch_id: str) -> Out:
    states = [(await _attached(here, name, file_id))["status"] for file_id in batch_id.split(".")[1:]]
    if not states:
        raise NotFoundError(f"there is no batch {batch_id[:80]!r}", param="batch_id")
    return {
        "id": batch_id,
        "object": "vector_store.files_batch",
        "created_at": int(time.time()),
        "vector_store_id": name,
        "status": "in_progress" if "in_progress" in states else "completed",
        "file_counts": _counts(states),
    }


async def _store(here: Orchestrator, name: str) -> Out:
    stats = await here.library.run((await here.library.store(name)).stats)
    return {
        "id": name,
        "object": "vector_store",
        "created_at": 0,
        "name": name,
        "usage_bytes": 0,
        "status": "completed",
        "file_counts": {**_counts([]), "completed": stats.documents, "total": stats.documents},
    }


def _counts(states: Sequence[str]) -> dict[str, int]:
    return {**{state: states.count(state) for state in _STATES.values()}, "total": len(states)}


def _document(
    file_id: str, name: str, status: str, attributes: dict[str, Scalar] | None = None, error: str = ""
) -> Out:
    return {
        "id": file_id,
        "object": "vector_store.file",
        "created_at": 0,
        "vector_store_id": name,
        "status": status,
        "usage_bytes": 0,
        "last_error": {"code": "invalid_file", "message": error} if error else None,
        "attributes": attributes or {},
    }
