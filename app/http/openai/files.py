"""/v1/files: kept until they are deleted; one that is attached to a vector store is indexed."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from app.documents.files import File
from app.http.orchestrator import Here
from app.http.uploads import name_of as filename_of
from app.http.uploads import received
from services.errors import BadRequestError

FIELDS = frozenset({"file", "purpose", "expires_after[anchor]", "expires_after[seconds]"})
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string"},
                    },
                }
            }
        },
    }
}
Out = dict[str, Any]

router = APIRouter(prefix="/v1", tags=["openai"])


class Deleted(BaseModel):
    id: str
    object: str
    deleted: bool = True


@router.post("/files", openapi_extra=_FORM)
async def upload(request: Request, here: Here) -> Out:
    """Keep a file until it is deleted; attach it to a vector store to have it indexed."""
    limit = here.settings.server.max_body_bytes
    async with received(request, here.ingest.spool, limit, FIELDS) as (content, form), here.ingest.places:
        sent = form.get("file") if form is not None else None
        if not isinstance(sent, UploadFile):
            raise BadRequestError("send a form with the file in its field `file`", param="file")
        purpose = str(form.get("purpose") or "assistants") if form is not None else ""
        size = (await asyncio.to_thread(content.stat)).st_size
        file = File(f"file-{uuid.uuid4().hex}", filename_of(sent), purpose, size, int(time.time()))
        await here.library.run(here.files.keep, file, content)
    return _file(file)


@router.get("/files")
async def files(here: Here) -> Out:
    return listed([_file(file) for file in await here.library.run(here.files.all)])


@router.get("/files/{file_id}")
async def file(file_id: str, here: Here) -> Out:
    return _file(await here.library.run(here.files.get, file_id))


@router.get("/files/{file_id}/content", response_class=FileResponse)
async def content(file_id: str, here: Here) -> FileResponse:
    kept = await here.library.run(here.files.get, file_id)
    path = await here.library.run(here.files.content, file_id)
    return FileResponse(path, media_type="application/octet-stream", filename=kept.name)


@router.delete("/files/{file_id}")
async def delete_file(file_id: str, here: Here) -> Deleted:
    """Delete a kept file; what was indexed of it stays, until it is deleted there."""
    await here.library.run(here.files.delete, file_id)
    return Deleted(id=file_id, object="file")


def _file(file: File) -> Out:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


def listed(data: Sequence[Out], has_more: bool = False) -> Out:
    ids = [each["id"] for each in data]
    return {
        "object": "list",
        "data": data,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }
