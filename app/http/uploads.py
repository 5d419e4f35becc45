"""Reads uploads: multipart forms with one file, and the file's name in each form that clients send it.

filename="plan.txt"               RFC 7578, in UTF-8
filename*=utf-8''pl%C3%A4n.txt    RFC 5987; it wins over the plain one, RFC 6266
filename="=?utf-8?b?...?="        RFC 2047, as mail programs write it
"""

import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from services.errors import BadRequestError

FIELDS = frozenset({"file", "id", "title", "collection", "metadata"})
_ABSOLUTE = re.compile(r"[A-Za-z]:/|/")


@asynccontextmanager
async def upload_form(request: Request) -> AsyncIterator[FormData]:
    """Parse a form; close its file at the end. Raises BadRequestError that names a field which is not of FIELDS."""
    try:
        form = await _FormParser(request.headers, request.stream(), max_files=1, max_fields=16).parse()
    except MultiPartException as exc:
        raise BadRequestError(f"the form cannot be read: {exc.message}") from exc
    try:
        if unknown := sorted(set(form) - FIELDS):
            raise BadRequestError(
                f"the form has the unknown field {unknown[0]!r}; it takes {', '.join(sorted(FIELDS))}", param=unknown[0]
            )
        yield form
    finally:
        await form.close()


def name_of(file: UploadFile) -> str:
    """Return the file's name in NFC, with the folders of a relative path, but never one that leads out of them.

    Of an absolute path, which is the client's own business, only the last part stays.
    """
    name = unicodedata.normalize("NFC", file.filename or "").replace("\\", "/").replace("\0", "")
    parts = [part.strip() for part in name.split("/")]
    kept = [part for part in parts if part not in ("", ".", "..")]
    return "/".join(kept[-1:] if _ABSOLUTE.match(name) else kept) or "upload"


class _FormParser(MultiPartParser):
    """Starlette's, which knows `filename` only."""

    def on_headers_finished(self) -> None:
        part = self._current_part
        name = _encoded_name((part.content_disposition or b"").decode("latin-1"))
        if name is not None and part.content_disposition is not None:
            part.content_disposition += b'; filename="upload"'
        super().on_headers_finished()
        if name is not None and part.file is not None:
            part.file.filename = name


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
