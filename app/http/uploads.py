"""Streams uploads to the spool: a JSON body, or the file of a multipart form, whose name comes in each of these forms.

filename="plan.txt"               RFC 7578, in UTF-8
filename*=utf-8''pl%C3%A4n.txt    RFC 5987; it wins over the plain one, RFC 6266
filename="=?utf-8?b?...?="        RFC 2047, as mail programs write it
"""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from io import BufferedWriter
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.documents.spool import Spool
from indexing.store.database import storage_errors
from services.errors import BadRequestError, TooLargeError
from services.http.admission import BODY_TIMEOUT_S, SLOWEST_BYTES_PER_S, SlowClientError

FIELDS = frozenset({"file", "id", "title", "collection", "metadata"})
_ABSOLUTE = re.compile(r"[A-Za-z]:/|/")


def is_upload(method: str, path: str) -> bool:
    """Whether a request is for the routes that read their bodies by `received`."""
    return method in ("POST", "PUT") and (path in ("/documents", "/v1/files") or path.startswith("/documents/"))


@asynccontextmanager
async def received(
    request: Request, spool: Spool, max_bytes: int, fields: frozenset[str] = FIELDS
) -> AsyncIterator[tuple[Path, FormData | None]]:
    """Write what is sent to the spool: (the file's or the body's content, the form or None).

    What is not taken from there is deleted at the end. Raises TooLargeError, StorageError, SlowClientError, and
    BadRequestError where the client leaves, or for a form that cannot be read.
    """
    content = await asyncio.to_thread(spool.receive)
    try:
        with storage_errors(content):
            yield content, await _receive(request, content, max_bytes, fields)
    except ClientDisconnect as exc:
        request.state.disconnected = True
        raise BadRequestError("the client left before its upload was complete") from exc
    finally:
        await asyncio.shield(asyncio.to_thread(spool.discard, content))  # also of a request that is cancelled


async def _receive(request: Request, content: Path, max_bytes: int, fields: frozenset[str]) -> FormData | None:
    opening = asyncio.ensure_future(asyncio.to_thread(content.open, "wb"))
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    try:
        body = _body(request, max_bytes)
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            async for piece in body:
                await asyncio.to_thread(file.write, piece)
            return None
        form = await _FormParser(request.headers, body, file).parse()
    except MultiPartException as exc:
        raise BadRequestError(f"the form cannot be read: {exc.message}") from exc
    finally:
        await asyncio.shield(asyncio.to_thread(file.close))
    if unknown := sorted(set(form) - fields):
        raise BadRequestError(
            f"the form has the unknown field {unknown[0]!r}; it takes {', '.join(sorted(fields))}", param=unknown[0]
        )
    return form


def _close(opening: "asyncio.Future[BufferedWriter]") -> None:
    if opening.exception() is None:
        opening.result().close()


async def _body(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body's pieces, within BODY_TIMEOUT_S and what they take at SLOWEST_BYTES_PER_S."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdigit() else 0
    pieces = request.stream()
    until = asyncio.get_running_loop().time() + BODY_TIMEOUT_S
    received_bytes = 0
    while True:
        if max(size, received_bytes) > max_bytes:
            raise TooLargeError(
                f"the upload is larger than server.max_body_bytes = {max_bytes:,} bytes; split it, or index it from"
                " the disk by `ragline index`"
            )
        try:
            async with asyncio.timeout_at(until + received_bytes / SLOWEST_BYTES_PER_S):
                piece = await anext(pieces, None)
        except TimeoutError as exc:
            raise SlowClientError(f"the upload was not complete after {BODY_TIMEOUT_S:.0f} s, nor fast") from exc
        if piece is None:
            return
        received_bytes += len(piece)
        yield piece


def name_of(file: UploadFile) -> str:
    """Return the file's name in NFC, with the folders of a relative path, but never one that leads out of them.

    Of an absolute path, which is the client's own business, only the last part stays.
    """
    name = unicodedata.normalize("NFC", file.filename or "").replace("\\", "/").replace("\0", "")
    parts = [part.strip() for part in name.split("/")]
    kept = [part for part in parts if part not in ("", ".", "..")]
    return "/".join(kept[-1:] if _ABSOLUTE.match(name) else kept) or "upload"


class _FormParser(MultiPartParser):
    """Starlette's, which knows `filename` only, and keeps files in memory or in /tmp: here the one file is `sink`."""

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], sink: BinaryIO) -> None:
        super().__init__(headers, stream, max_files=1, max_fields=16)
        self._sink = sink

    def on_headers_finished(self) -> None:
        part = self._current_part
        name = _encoded_name((part.content_disposition or b"").decode("latin-1"))
        if name is not None and part.content_disposition is not None:
            part.content_disposition += b'; filename="upload"'
        super().on_headers_finished()
        if part.file is not None:
            part.file.file.close()
            part.file.file = self._sink
            part.file.filename = part.file.filename if name is None else name


def _encoded_name(disposition: str) -> str | None:
    """Decode `filename*` or an RFC 2047 `filename`; None where the name is plain, or there is none."""
    message = Message()
    message["Content-Disposition"] = disposition
    names = [value for key, value in message.get_params([], "content-disposition") if key.lower() == "filename"]
    if extended := [name for name in names if isinstance(name, tuple)]:
        return collapse_rfc2231_value(extended[-1])
    for name in names:
        if "=?" in name:
            try:
                return str(make_header(decode_header(name)))
            except (HeaderParseError, LookupError, UnicodeDecodeError):
                return None
    return None
