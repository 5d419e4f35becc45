"""Outlook MSG: subject, correspondents, body, attached mails, from the OLE streams ([MS-OXMSG], [MS-OXPROPS])."""

import datetime as dt
import io
import re
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from email.utils import format_datetime
from typing import Any

import compressed_rtf
import olefile

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import charset, rtf
from indexing.read.formats.charset import decode
from indexing.read.formats.eml import letter, says_all
from indexing.read.formats.extract import Extract, Limits, counted, tidy
from indexing.read.formats.html import body_markdown, body_words

# Property tags: PidTagSubject, PidTagSenderName + PidTagSenderSmtpAddress or PidTagSenderEmailAddress, PidTagDisplayTo,
# PidTagDisplayCc, PidTagBody, PidTagHtml, PidTagRtfCompressed, PidTagTransportMessageHeaders, PidTagMessageClass.
_SUBJECT, _SENDER, _SMTP, _ADDRESS, _TO, _CC, _BODY, _HTML, _RTF, _HEADERS, _CLASS = (
    "0037", "0C1A", "5D01", "0C1F", "0E04", "0E03", "1000", "1013", "1009", "007D", "001A",
)  # fmt: skip
_NAMES = ("3707", "3704", "3001")
"""PidTagAttachLongFilename, PidTagAttachFilename, PidTagDisplayName."""
_ATTACHED = "__substg1.0_3701000D/"
"""Storage of an attached mail, which is built as the mail itself, or of an OLE object."""
_PROPERTIES = "__properties_version1.0"
_MESSAGE_CODE_PAGE, _INTERNET_CODE_PAGE = 0x3FFD0003, 0x3FDE0003
_SENT, _DELIVERED = 0x00390040, 0x0E060040
_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
_ENCRYPTED = "encrypted: the mail can only be read with its recipient's key"


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    omitted: Counter[str] = Counter()
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            extract = _letter(ole, omitted)
    except (OSError, ValueError, IndexError) as exc:
        raise UnreadableError(f"broken MSG: {one_line(str(exc))}") from exc
    return replace(extract, omitted=counted(omitted))


def _letter(ole: Any, omitted: Counter[str], folder: str = "", level: int = 1) -> Extract:
    """The mail whose streams are in a folder, with the mails that are attached to it."""
    kind = _string(ole, _CLASS, folder).upper()
    if "SMIME" in kind and "MULTIPARTSIGNED" not in kind:
        raise UnreadableError(_ENCRYPTED)
    texts = [_body(ole, omitted, folder)]
    attached: list[str] = []
    above = folder.split("/")[:-1]
    inside = {path[len(above)] for path in ole.listdir() if path[: len(above)] == above}
    for at in sorted(name for name in inside if name.startswith("__attach")):
        if ole.exists(f"{folder}{at}/{_ATTACHED}{_PROPERTIES}"):
            try:
                texts.append(_letter(ole, omitted, f"{folder}{at}/{_ATTACHED}", min(level + 1, 6)).text)
            except UnreadableError:
                omitted["encrypted mail"] += 1
        else:
            names = (_string(ole, tag, f"{folder}{at}/") for tag in _NAMES)
            attached.append(one_line(tidy(next(filter(None, names), "unnamed"))))
    body = "\n\n".join(filter(None, texts))
    if not body and any(name.endswith((".pgp-encrypted", ".p7m")) for name in attached):
        raise UnreadableError(_ENCRYPTED)
    name, address = _string(ole, _SENDER, folder), _string(ole, _SMTP, folder) or _string(ole, _ADDRESS, folder)
    headers = {
        "Subject": _string(ole, _SUBJECT, folder),
        "From": f"{name} <{address}>" if "@" in address and address != name else name,
        "To": _string(ole, _TO, folder),
        "Cc": _string(ole, _CC, folder),
        "Date": _date(ole, folder),
    }
    return letter({key: one_line(tidy(value)) for key, value in headers.items()}, body, attached, level)


def _body(ole: Any, omitted: Counter[str], folder: str) -> str:
    """The plain body where it says all that the HTML or, without one, the RTF says."""
    plain = escaped(tidy(_string(ole, _BODY, folder)))
    html: bytes | str = _bytes(ole, f"{folder}__substg1.0_{_HTML}0102") or _string(ole, _HTML, folder)
    if not html and (packed := _bytes(ole, f"{folder}__substg1.0_{_RTF}0102")):
        try:
            unpacked = compressed_rtf.decompress(packed)
            html = rtf.encapsulated_html(unpacked)
            rich = "" if html else rtf.load(unpacked, "", Limits()).text
        except Exception:  # noqa: BLE001 (what the library raises)
            omitted["damaged RTF body"] += 1
            return plain
        if not html:
            return plain if plain and says_all(plain, rich) else rich
    label = _label(ole, _INTERNET_CODE_PAGE, folder)
    return plain if plain and says_all(plain, body_words(html, label)) else body_markdown(html, label, omitted)


def _date(ole: Any, folder: str) -> str:
    """By the headers of its transport, else when it was sent, else when it was delivered; "" where nothing says so."""
    if found := re.search(r"^Date: *(.+)$", _string(ole, _HEADERS, folder), re.MULTILINE):
        return found[1]
    fixed = _fixed(ole, folder)
    time = fixed.get(_SENT) or fixed.get(_DELIVERED) or 0
    with suppress(OverflowError):
        return format_datetime(_EPOCH + dt.timedelta(microseconds=time // 10)) if time else ""
    return ""


def _bytes(ole: Any, stream: str) -> bytes:
    return ole.openstream(stream).read() if ole.exists(stream) else b""


def _string(ole: Any, tag: str, folder: str) -> str:
    """A property of type 001F (UTF-16), else of type 001E (an 8-bit encoding); "" without one."""
    if wide := _bytes(ole, f"{folder}__substg1.0_{tag}001F"):
        return wide.decode("utf-16-le", "replace")
    narrow = _bytes(ole, f"{folder}__substg1.0_{tag}001E")
    return decode(narrow, _label(ole, _MESSAGE_CODE_PAGE, folder)) if narrow else ""


def _label(ole: Any, tag: int, folder: str) -> str:
    """The charset of a mail, or of that which it is attached to; "" where neither says one."""
    page = _fixed(ole, folder).get(tag) or _fixed(ole, "").get(tag)
    return charset.code_page(page & 0xFFFFFFFF) if page else ""


def _fixed(ole: Any, folder: str) -> dict[int, int]:
    """Properties of at most 8 bytes by tag, of 16 bytes each (tag, flags, value) after a header."""
    stream = _bytes(ole, folder + _PROPERTIES)[24 if folder else 32 :]
    return {tag: number for tag, _flags, number in struct.iter_unpack("<IIQ", stream[: len(stream) // 16 * 16])}
