"""Documents and jobs."""

import dataclasses
import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.datastructures import UploadFile

from app.documents.spool import Submission
from app.http.orchestrator import Here, Orchestrator
from app.http.schema import (
    ChunkOut,
    Collection,
    DocumentAccepted,
    DocumentBody,
    DocumentOut,
    DocumentPage,
    JobFailure,
    JobOut,
    Scalar,
)
from app.http.uploads import name_of, upload_form
from indexing.store.interface import DocumentRow, DocumentStore, with_records
from services.errors import BadRequestError, NotFoundError
from services.protocol import ErrorBody


class _IdConvertor(PathConvertor):
    """An id in an address may hold slashes, and line breaks, which `path` does not match."""

    regex = "(?s:.+)"


register_url_convertor("id", _IdConvertor())
router = APIRouter(tags=["documents"])

InCollection = Annotated[Collection | None, Query(description="Empty: the server's default.")]
_METADATA = TypeAdapter(dict[str, Scalar])
_NAME = TypeAdapter(Collection)
_FULL: dict[int | str, dict[str, Any]] = {507: {"model": ErrorBody, "description": "The disk is full."}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": DocumentBody.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "id": {"type": "string"},
                        "title": {"type": "string"},
                        "collection": {"type": "string"},
                        "metadata": {"type": "string", "description": "JSON object of strings, numbers and booleans."},
                    },
                }
            },
        },
    }
}


@router.post("/documents", status_code=202, openapi_extra=_BODY, responses=_FULL)
async def add(request: Request, here: Here, collection: InCollection = None) -> DocumentAccepted:
    """Add a file (multipart, field `file`) or a text (JSON); the same id or name again replaces it.

    What is answered with 202 is on disk; GET /jobs/{job_id} says when it can be found.
    """
    return await _accept(request, here, collection, document_id=None)


@router.put("/documents/{document_id:id}", status_code=202, openapi_extra=_BODY, responses=_FULL)
async def replace(document_id: str, request: Request, here: Here, collection: InCollection = None) -> DocumentAccepted:
    """Put a document in place of the one with this id; until it is indexed, the old one is found."""
    return await _accept(request, here, collection, document_id=document_id)


@router.get("/documents")
async def documents(
    here: Here,
    collection: InCollection = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DocumentPage:
    store = await _store(here, collection)
    rows, following = await here.library.run(store.documents, cursor, limit)
    return DocumentPage(documents=[_document(row) for row in rows], next_cursor=following)


@router.get("/documents/{document_id:id}/chunks")
async def chunks(document_id: str, here: Here, collection: InCollection = None) -> list[ChunkOut]:
    """List a document's chunks in the order of its text."""
    await _row(here, collection, document_id)
    store = await _store(here, collection)
    return [
        ChunkOut(id=c.id, ordinal=c.ordinal, text=c.text, start=c.start, end=c.end, page=c.page, heading=c.heading)
        for c in await here.library.run(store.document_chunks, document_id)
    ]


@router.get("/documents/{document_id:id}")
async def document(document_id: str, here: Here, collection: InCollection = None) -> DocumentOut:
    return _document(await _row(here, collection, document_id))


@router.delete("/documents/{document_id:id}", status_code=204)
async def delete(document_id: str, here: Here, collection: InCollection = None) -> Response:
    """Delete a document, or all records of an upload with this id."""
    store = await _store(here, collection)
    if not await here.library.run(lambda: store.delete(with_records(store, document_id))):
        raise _no_document(document_id)
    return Response(status_code=204)


@router.get("/jobs/{job_id}")
async def job(job_id: str, here: Here) -> JobOut:
    """Report the progress of an upload or an indexing run."""
    row = await here.ingest.job(job_id)
    return JobOut(
        id=row.id,
        kind=row.kind,
        state=row.state,
        total=row.total,
        done=row.done,
        chunks=row.chunks,
        failed=[JobFailure(source=source, reason=reason) for source, reason in row.failures],
    )


async def _accept(
    request: Request, here: Orchestrator, collection: str | None, *, document_id: str | None
) -> DocumentAccepted:
    """Spool what was sent. An id or collection in the address and in the body must be the same."""
    if unknown := sorted(set(request.query_params) - {"collection"}):
        raise BadRequestError(f"unknown parameter {unknown[0]!r}; the address takes `collection`", param=unknown[0])
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        submission, content = await _upload(request)
    else:
        submission, content = _text(await request.body())
    submission = dataclasses.replace(
        submission,
        collection=_agreed("collection", collection, submission.collection) or await here.library.default(),
        document_id=_agreed("id", document_id, submission.document_id) or _id_of(submission.name or content.decode()),
    )
    _check_id(submission.document_id)
    accepted = await here.ingest.submit(submission, content)
    return DocumentAccepted(
        document_id=submission.document_id,
        job_id=accepted.job_id,
        already_existed=accepted.already_existed,
        collection=submission.collection,
    )


async def _upload(request: Request) -> tuple[Submission, bytes]:
    async with upload_form(request) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequestError("the form has no file in its field `file`", param="file")
        text = {key: value for key, value in form.items() if isinstance(value, str)}
        try:
            metadata = _METADATA.validate_json(text.get("metadata") or "{}")
            collection = _NAME.validate_python(text["collection"]) if text.get("collection") else ""
        except ValidationError as exc:
            raise BadRequestError(f"the form's fields are wrong: {exc.errors()[0]['msg']}", param="metadata") from exc
        submission = Submission(
            collection, text.get("id", ""), name_of(file), text.get("title", ""), is_text=False, metadata=metadata
        )
        return submission, await file.read()


def _text(body: bytes) -> tuple[Submission, bytes]:
    try:
        given = DocumentBody.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise BadRequestError(f"{where}: {first['msg']}", param=where) from exc
    submission = Submission(
        given.collection or "", given.id or "", given.url, given.title, is_text=True, metadata=given.metadata
    )
    return submission, given.text.encode()


def _agreed(name: str, in_address: str | None, in_body: str) -> str:
    if in_address and in_body and in_address != in_body:
        raise BadRequestError(
            f"{name} is {in_address!r} in the address and {in_body!r} in the body; send it once", param=name
        )
    return in_address or in_body


def _check_id(document_id: str) -> None:
    """Raises BadRequestError for an id by which the document could not be addressed afterwards."""
    if document_id.endswith("/chunks") or {".", ".."} & set(document_id.split("/")):
        raise BadRequestError(
            f"the id {document_id[:80]!r} cannot be used in an address: it ends in /chunks, or has a part . or ..",
            param="id",
        )


def _id_of(name: str) -> str:
    """Derive an id from a name or URL: the same name replaces the same document."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


async def _store(here: Orchestrator, collection: str | None) -> DocumentStore:
    return await here.library.store(collection or await here.library.default())


async def _row(here: Orchestrator, collection: str | None, document_id: str) -> DocumentRow:
    store = await _store(here, collection)
    row = await here.library.run(store.document, document_id)
    if row is None:
        raise _no_document(document_id)
    return row


def _no_document(document_id: str) -> NotFoundError:
    return NotFoundError(f"no document {document_id!r} in this collection", param="document_id")


def _document(row: DocumentRow) -> DocumentOut:
    return DocumentOut(
        id=row.id,
        title=row.title,
        url=row.source,
        media_type=row.media_type,
        chunks=row.chunks,
        characters=row.chars,
        metadata=dict(row.metadata),
    )
