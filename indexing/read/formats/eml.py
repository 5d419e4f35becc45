"""EML by the standard library: subject, correspondents and date, then the body; attachments by name only."""

import base64
import binascii
import email
import email.policy
import quopri
import re
from email.message import Message

from indexing.document import one_line
from indexing.errors import NotADocumentError, UnreadableError
from indexing.read.formats import charset
from indexing.read.formats.extract import Extract, Limits, require_chars, tidy
from indexing.read.formats.html import body_markdown
from indexing.read.formats.text import decode

_HEADERS = ("From", "To", "Cc", "Date")
_ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,75})(?:\*[^?\s]{0,75})?\?([bBqQ])\?([^?]*)\?=")


class _Policy(email.policy.Compat32):
    """Headers as text, whatever bytes they have; nothing is parsed, so that nothing fails."""

    def header_fetch_parse(self, _name: str, value: str) -> str:
        return _eight_bit(value, "")


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    if charset.by_bom(content) or b"\0" in content[:64]:
        content = decode(content).encode()
    message = email.message_from_bytes(content, policy=_Policy())
    if not message.keys():
        raise UnreadableError("broken mail: it has no headers")
    if message.get_content_type() in ("application/pkcs7-mime", "multipart/encrypted"):
        raise UnreadableError("encrypted: the mail can only be read with its recipient's key")
    headers = {name: _header(message, name) for name in (*_HEADERS, "Subject")}
    attached = [name for part in message.walk() if (name := _attachment(part))]
    extract = letter(headers, tidy(_body(message)), attached)
    require_chars(len(extract.text), limits)
    return extract


def letter(headers: dict[str, str], body: str, attached: list[str]) -> Extract:
    """A mail as Markdown: subject as heading, other headers, body, names of attachments."""
    lines = [f"{name}: {headers[name]}" for name in _HEADERS if headers.get(name)]
    subject = headers.get("Subject", "")
    files = f"Attachments: {', '.join(attached)}" if attached else ""
    text = "\n\n".join(part for part in (f"# {subject}" if subject else "", "\n".join(lines), body, files) if part)
    metadata = {name.lower(): headers[name] for name in ("From", "To", "Date") if headers.get(name)}
    return Extract(text, subject, metadata=metadata)


def _header(message: Message, name: str) -> str:
    """On one line. Bytes beyond ASCII are in the charset of the mail's first text, where its header names none."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    label = next((_label(part) for part in message.walk() if _label(part)), "")
    return one_line(tidy(_words(_eight_bit(raw, label))))


def _label(part: Message) -> str:
    label = part.get_param("charset", "")
    return label if isinstance(label, str) else label[2]


def _eight_bit(value: str, label: str) -> str:
    """A header of the parser, which keeps bytes beyond ASCII as lone surrogates."""
    return _decoded(value.encode("utf-8", "surrogateescape"), label) if not value.isascii() else value


def _words(value: str) -> str:
    """RFC 2047. Words of one charset are joined before they are decoded: some cut between the bytes of a character."""
    value = re.sub(r"(?<=\?=)[ \t\r\n]{1,200}(?==\?)", "", value)
    out, end, label, content = [], 0, "", b""
    for word in _ENCODED_WORD.finditer(value):
        if content and (word.start() > end or word[1].lower() != label):
            out.append(_decoded(content, label))
            content = b""
        out.append(value[end : word.start()])
        content += _word_bytes(word[2], word[3])
        label, end = word[1].lower(), word.end()
    return "".join((*out, _decoded(content, label), value[end:]))


def _word_bytes(coding: str, text: str) -> bytes:
    content = text.encode("utf-8", "replace")
    if coding in "qQ":
        return quopri.decodestring(content, header=True)
    try:
        return base64.b64decode(content + b"==")
    except binascii.Error:
        return content


def _decoded(content: bytes, label: str) -> str:
    try:
        return decode(content, label)
    except NotADocumentError:
        return charset.replaced(content, charset.codec(label) or "utf-8")


def _attachment(part: Message) -> str:
    disposition = str(part.get("Content-Disposition", "")).partition(";")[0].strip().lower()
    return _filename(part) or "unnamed" if disposition == "attachment" else ""


def _filename(part: Message) -> str:
    name = part.get_param("filename", None, "content-disposition") or part.get_param("name", "")
    if isinstance(name, tuple):
        label, _language, value = name
        name = _decoded(value.encode("latin-1", "replace"), label or "")
    return one_line(_words(str(name or "")))


def _body(message: Message) -> str:
    """The plain text, else the HTML as Markdown."""
    parts = [part for part in message.walk() if part.get_content_maintype() == "text" and not _attachment(part)]
    part = next((p for kind in ("plain", "html") for p in parts if p.get_content_subtype() == kind), None)
    if part is None:
        part = next(iter(parts), None)
    if part is None:
        return ""
    if part.get_content_subtype() == "html":
        return body_markdown(_payload(part), _label(part))
    return _decoded(_payload(part), _label(part))


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
