"""Documents and jobs: add, list, delete."""

import asyncio
import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from app.documents.spool import Submission
from app.http.orchestrator import Here, Orchestrator
from app.http.schema import (
    Collection,
    DocumentAccepted,
    DocumentBody,
    DocumentOut,
    DocumentPage,
    JobFailure,
    JobOut,
    Scalar,
)
from app.http.uploads import name_of, received
from indexing.store.interface import DocumentRow, DocumentStore
from services.disk import sha256
from services.errors import BadRequestError, NotFoundError
from services.http import paths  # noqa: F401 - the addresses' {name:id}
from services.protocol import ErrorBody

router = APIRouter(tags=["documents"])

InCollection = Annotated[Collection | None, Query(description="Empty: the server's default.")]
_METADATA = TypeAdapter(dict[str, Scalar])
_NAME = TypeAdapter(Collection)
_MAX_CHARS = {"id": 256, "title": 1000, "url": 4000, "file": 1000}
_MAX_METADATA_BYTES = 16 * 2**10
_BELOW = ("/chunks", "/similar", "/text", "/view")
"""What stands after an id in the addresses."""
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
    store = await store_of(here, collection)
    rows, following = await here.library.run(store.documents, cursor, limit)
    return DocumentPage(documents=[document_out(row) for row in rows], next_cursor=following)


@router.get("/documents/{document_id:id}")
async def document(document_id: str, here: Here, collection: InCollection = None) -> DocumentOut:
    return document_out(await row_of(here, collection, document_id))


@router.delete("/documents/{document_id:id}", status_code=204)
async def delete(document_id: str, here: Here, collection: InCollection = None) -> Response:
    """Delete a document, or all records of an upload with this id, and the uploads that wait to become it."""
    name = collection or await here.library.default()
    here.library.check_writable(name)
    if not await here.ingest.delete(name, document_id):
        raise no_document(document_id)
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
        message=row.message,
    )


async def _accept(
    request: Request, here: Orchestrator, collection: str | None, *, document_id: str | None
) -> DocumentAccepted:
    """Spool what was sent. An id or collection in the address and in the body must be the same."""
    if unknown := sorted(set(request.query_params) - {"collection"}):
        raise BadRequestError(f"unknown parameter {unknown[0]!r}; the address takes `collection`", param=unknown[0])
    ingest = here.ingest
    ingest.check_room()
    async with received(request, ingest.spool, here.settings.server.max_body_bytes) as (content, form), ingest.places:
        submission = await asyncio.to_thread(_text, content) if form is None else _upload(form)
        submission = dataclasses.replace(
            submission,
            collection=_agreed("collection", collection, submission.collection)
            or await here.library.default_for_uploads(),
            document_id=_agreed("id", document_id, submission.document_id)
            or (_id_of(submission.name) if submission.name else await asyncio.to_thread(sha256, content))[:32],
        )
        _check(submission)
        here.library.check_writable(submission.collection)
        accepted = await ingest.submit(submission, content)
    return DocumentAccepted(
        document_id=submission.document_id,
        job_id=accepted.job_id,
        already_existed=accepted.already_existed,
        collection=submission.collection,
    )


def _upload(form: FormData) -> Submission:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise BadRequestError("the form has no file in its field `file`", param="file")
    text = {key: value for key, value in form.items() if isinstance(value, str)}
    try:
        metadata = _METADATA.validate_json(text.get("metadata") or "{}")
    except ValidationError as exc:
        raise BadRequestError(f"metadata: {exc.errors()[0]['msg']}", param="metadata") from exc
    try:
        collection = _NAME.validate_python(text["collection"]) if text.get("collection") else ""
    except ValidationError as exc:
        raise BadRequestError(f"collection: {exc.errors()[0]['msg']}", param="collection") from exc
    return Submission(
        collection, text.get("id", ""), name_of(file), text.get("title", ""), is_text=False, metadata=metadata
    )


def _text(content: Path) -> Submission:
    """Read a JSON body, and leave its text alone in its place."""
    try:
        given = DocumentBody.model_validate_json(content.read_bytes())
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise BadRequestError(f"{where}: {first['msg']}", param=where) from exc
    content.write_bytes(given.text.encode())
    return Submission(
        given.collection or "", given.id or "", given.url, given.title, is_text=True, metadata=given.metadata
    )


def _agreed(name: str, in_address: str | None, in_body: str) -> str:
    if in_address and in_body and in_address != in_body:
        raise BadRequestError(
            f"{name} is {in_address!r} in the address and {in_body!r} in the body; send it once", param=name
        )
    return in_address or in_body


def _check(submission: Submission) -> None:
    """Raises BadRequestError for what would be too long, or by which the document could not be addressed afterwards."""
    document_id, metadata = submission.document_id, submission.metadata
    if document_id.endswith(_BELOW) or {".", ".."} & set(document_id.split("/")):
        raise BadRequestError(
            f"the id {document_id[:80]!r} cannot be used in an address: it ends in {' or '.join(_BELOW)}, or has a "
            "part . or ..",
            param="id",
        )
    strings = {"id": document_id, "title": submission.title, "url" if submission.is_text else "file": submission.name}
    for field, value in strings.items():
        if len(value) > (most := _MAX_CHARS[field]):
            raise BadRequestError(
                f"{field} has {len(value):,} characters, more than the limit of {most:,}", param=field
            )
    if any(isinstance(value, float) and not math.isfinite(value) for value in metadata.values()):
        raise BadRequestError("metadata holds a number that is not finite", param="metadata")
    if (size := len(json.dumps(metadata, ensure_ascii=False).encode())) > _MAX_METADATA_BYTES:
        raise BadRequestError(
            f"metadata takes {size:,} bytes as JSON, more than the limit of {_MAX_METADATA_BYTES:,}", param="metadata"
        )


def _id_of(name: str) -> str:
    """Derive an id from a name or URL: the same name replaces the same document."""
    return hashlib.sha256(name.encode()).hexdigest()


async def store_of(here: Orchestrator, collection: str | None) -> DocumentStore:
    return await here.library.store(collection or await here.library.default())


async def row_of(here: Orchestrator, collection: str | None, document_id: str) -> DocumentRow:
    store = await store_of(here, collection)
    row = await here.library.run(store.document, document_id)
    if row is None:
        raise no_document(document_id)
    return row


def no_document(document_id: str) -> NotFoundError:
    return NotFoundError(f"no document {document_id!r} in this collection", param="document_id")


def document_out(row: DocumentRow) -> DocumentOut:
    return DocumentOut(
        id=row.id,
        title=row.title,
        url=row.source,
        media_type=row.media_type,
        chunks=row.chunks,
        characters=row.chars,
        metadata=dict(row.metadata),
    )
