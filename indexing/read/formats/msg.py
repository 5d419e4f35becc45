"""Outlook MSG: subject, correspondents and body, from the OLE streams ([MS-OXMSG], [MS-OXPROPS])."""

import io
import re
import struct
from typing import Any

import olefile

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import charset
from indexing.read.formats.eml import letter
from indexing.read.formats.extract import Extract, Limits, tidy
from indexing.read.formats.html import body_markdown
from indexing.read.formats.text import decode

# Property tags: PidTagSubject, PidTagSenderName + PidTagSenderSmtpAddress, PidTagDisplayTo, PidTagDisplayCc,
# PidTagBody, PidTagHtml, PidTagTransportMessageHeaders, PidTagAttachLongFilename, PidTagMessageClass.
_SUBJECT, _SENDER, _ADDRESS, _TO, _CC, _BODY, _HTML, _HEADERS, _FILE, _CLASS = (
    "0037", "0C1A", "5D01", "0E04", "0E03", "1000", "1013", "007D", "3707", "001A",
)  # fmt: skip

_MESSAGE_CODE_PAGE, _INTERNET_CODE_PAGE = 0x3FFD0003, 0x3FDE0003


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            extract = _letter(ole)
    except (OSError, ValueError, IndexError) as exc:
        raise UnreadableError(f"broken MSG: {one_line(str(exc))}") from exc
    return extract


def _letter(ole: Any) -> Extract:
    if "SMIME" in _string(ole, _CLASS).upper() and "MULTIPARTSIGNED" not in _string(ole, _CLASS).upper():
        raise UnreadableError("encrypted: the mail can only be read with its recipient's key")
    body = _string(ole, _BODY)
    if not body.strip() and (html := _bytes(ole, f"__substg1.0_{_HTML}0102")):
        body = body_markdown(html, _label(ole, _INTERNET_CODE_PAGE))
    date = re.search(r"^Date: *(.+)$", _string(ole, _HEADERS), re.MULTILINE)
    name, address = _string(ole, _SENDER), _string(ole, _ADDRESS)
    folders = sorted({path[0] for path in ole.listdir() if path[0].startswith("__attach")})
    attached = [name for folder in folders if (name := _string(ole, _FILE, f"{folder}/"))]
    if not body.strip() and any(name.endswith((".pgp-encrypted", ".p7m")) for name in attached):
        raise UnreadableError("encrypted: the mail can only be read with its recipient's key")
    headers = {
        "Subject": _string(ole, _SUBJECT),
        "From": f"{name} <{address}>" if address and address != name else name,
        "To": _string(ole, _TO),
        "Cc": _string(ole, _CC),
        "Date": date[1] if date else "",
    }
    return letter({key: one_line(tidy(value)) for key, value in headers.items()}, tidy(body), attached)


def _bytes(ole: Any, stream: str) -> bytes:
    return ole.openstream(stream).read() if ole.exists(stream) else b""


def _string(ole: Any, tag: str, folder: str = "") -> str:
    """A property of type 001F (UTF-16), else of type 001E (an 8-bit encoding); "" without one."""
    if wide := _bytes(ole, f"{folder}__substg1.0_{tag}001F"):
        return wide.decode("utf-16-le", "replace")
    narrow = _bytes(ole, f"{folder}__substg1.0_{tag}001E")
    return decode(narrow, _label(ole, _MESSAGE_CODE_PAGE)) if narrow else ""


def _label(ole: Any, tag: int) -> str:
    """The code page in a property of 16 bytes (tag, flags, value) after a header of 32; "" without one."""
    properties = _bytes(ole, "__properties_version1.0")[32:]
    for found, _flags, page in struct.iter_unpack("<IIQ", properties[: len(properties) // 16 * 16]):
        if found == tag:
            return charset.code_page(page & 0xFFFFFFFF)
    return ""
