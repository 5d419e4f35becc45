"""Headers of mails as text: RFC 2047 and 2231, raw bytes, and the labels of the web."""

import base64
import binascii
import email.policy
import quopri
import re
from email.message import Message

from indexing.document import one_line
from indexing.errors import NotADocumentError
from indexing.read.formats import charset
from indexing.read.formats.charset import decode
from indexing.read.formats.extract import tidy

_ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,75})(?:\*[^?\s]{0,75})?\?([bBqQ])\?([^?]*)\?=")


class Policy(email.policy.Compat32):
    """Headers as text, whatever bytes they have; nothing is parsed, so that nothing fails."""

    def header_fetch_parse(self, _name: str, value: str) -> str:
        return _eight_bit(value, "")


def header(message: Message, name: str) -> str:
    """On one line. Bytes beyond ASCII are in the charset of the mail's first text, where its header names none."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    label = next((label_of(part) for part in message.walk() if label_of(part)), "")
    return one_line(tidy(_words(_eight_bit(raw, label))))


def label_of(part: Message) -> str:
    label = part.get_param("charset", "")
    return label if isinstance(label, str) else label[2]


def _eight_bit(value: str, label: str) -> str:
    """A header of the parser, which keeps bytes beyond ASCII as lone surrogates."""
    return decoded(value.encode("utf-8", "surrogateescape"), label) if not value.isascii() else value


def _words(value: str) -> str:
    """RFC 2047. Words of one charset are joined before they are decoded: some cut between the bytes of a character."""
    value = re.sub(r"(?<=\?=)[ \t\r\n]{1,200}(?==\?)", "", value)
    out, end, label, content = [], 0, "", b""
    for word in _ENCODED_WORD.finditer(value):
        if content and (word.start() > end or word[1].lower() != label):
            out.append(decoded(content, label))
            content = b""
        out.append(value[end : word.start()])
        content += _word_bytes(word[2], word[3])
        label, end = word[1].lower(), word.end()
    return "".join((*out, decoded(content, label), value[end:]))


def _word_bytes(coding: str, text: str) -> bytes:
    content = text.encode("utf-8", "replace")
    if coding in "qQ":
        return quopri.decodestring(content, header=True)
    try:
        return base64.b64decode(content + b"==")
    except binascii.Error:
        return content


def decoded(content: bytes, label: str) -> str:
    try:
        return decode(content, label)
    except NotADocumentError:
        return charset.replaced(content, charset.codec(label) or "utf-8")


def is_attachment(part: Message) -> bool:
    return str(part.get("Content-Disposition", "")).partition(";")[0].strip().lower() == "attachment"


def filename(part: Message) -> str:
    name = part.get_param("filename", None, "content-disposition") or part.get_param("name", "")
    if isinstance(name, tuple):
        label, _language, value = name
        name = decoded(value.encode("latin-1", "replace"), label or "")
    return one_line(_words(str(name or "")))
