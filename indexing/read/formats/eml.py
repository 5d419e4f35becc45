"""EML by the standard library: subject, correspondents and date, then all that a mail program shows of the body."""

import binascii
import email
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import Message
from functools import partial
from typing import Any

from indexing.errors import UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import charset
from indexing.read.formats.charset import decode
from indexing.read.formats.extract import Extract, Limits, counted, require_chars, tidy
from indexing.read.formats.html import body_markdown, body_words
from indexing.read.formats.ical import events
from indexing.read.formats.mail_headers import Policy, decoded, filename, header, is_attachment, label_of

_HEADERS = ("From", "To", "Cc", "Date")
_CARDS = ("vcard", "x-vcard", "directory")
_NOT_SHOWN = frozenset((*_CARDS, "css", "javascript", "rtf", "x-amp-html"))
"""Subtypes of text that mail programs do not show as text."""
_SAID = 0.8
"""Share of the words of the HTML that its plain alternative must have to stand for it: stubs have fewer."""

_QUOTE = re.compile(r"(?:> ?)*+ ?")
"""The marks before a line, with or without blanks, and the blank that RFC 3676 stuffs."""

_HtmlReader = Callable[[bytes, str], str]


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    if charset.by_bom(content) or b"\0" in content[:64]:
        content = decode(content).encode()
    message = _parse(content)
    if not message.keys():
        raise UnreadableError("broken mail: it has no headers")
    if message.get_content_type() in ("application/pkcs7-mime", "multipart/encrypted"):
        raise UnreadableError("encrypted: the mail can only be read with its recipient's key")
    omitted: Counter[str] = Counter()
    extract = _mail(message, partial(body_markdown, omitted=omitted), 1)
    require_chars(len(extract.text), limits)
    return replace(extract, omitted=counted(omitted))


def _parse(content: bytes) -> Message:
    return email.message_from_bytes(content, policy=Policy())


def _mail(message: Message, read_html: _HtmlReader, level: int) -> Extract:
    headers = {name: header(message, name) for name in (*_HEADERS, "Subject")}
    attached: list[str] = []
    texts = [tidy(text) for text in _texts(message, attached, read_html, level)]
    return letter(headers, "\n\n".join(text for text in texts if text.strip()), attached, level)


def letter(headers: dict[str, str], body: str, attached: list[str], level: int = 1) -> Extract:
    """A mail as Markdown: subject as heading of the level, other headers, body, names of attachments."""
    lines = [f"{name}: {headers[name]}" for name in _HEADERS if headers.get(name)]
    subject = headers.get("Subject", "")
    files = f"Attachments: {', '.join(attached)}" if attached else ""
    heading = f"{'#' * level} {subject}" if subject else ""
    text = "\n\n".join(part for part in (heading, "\n".join(lines), body, files) if part)
    metadata = {name.lower(): headers[name] for name in ("From", "To", "Date") if headers.get(name)}
    return Extract(text, subject, metadata=metadata)


def _texts(part: Message, attached: list[str], read_html: _HtmlReader, level: int) -> Iterator[str]:
    """The texts below a part in the order in which they are shown; the names of what is not shown go to `attached`."""
    kind = part.get_content_type()
    parts = _parts(part)
    if kind == "message/rfc822" and parts:
        yield _mail(_forwarded(part), read_html, min(level + 1, 6)).text
    elif kind == "message/delivery-status":
        yield "\n\n".join("\n".join(f"{name}: {header(block, name)}" for name in dict(block)) for block in parts)
    elif kind == "multipart/alternative" and parts and read_html is not body_words:
        yield from _alternative(parts, attached, read_html, level)
    elif parts:
        for inner in parts:
            yield from _texts(inner, attached, read_html, level)
    elif is_attachment(part) or not _is_shown(part):
        is_named = filename(part) and part.get_content_maintype() != "image"
        if is_attachment(part) or is_named or part.get_content_subtype() in _CARDS:
            attached.append(filename(part) or "unnamed")
    elif part.get_content_subtype() == "html":
        yield read_html(_payload(part), label_of(part))
    elif part.get_content_subtype() == "calendar":
        yield escaped(tidy(events(decoded(_payload(part), label_of(part)))))
    else:
        text = decoded(_payload(part), label_of(part))
        is_flowed = str(part.get_param("format", "")).lower() == "flowed"
        yield escaped(tidy(_joined(text, str(part.get_param("delsp", ""))) if is_flowed else text))


def _joined(text: str, delsp: str) -> str:
    """The paragraphs of format=flowed (RFC 3676): a blank ends a line that goes on in the next of the same quote."""
    pieces: list[str] = []
    flows = -1
    for line in text.splitlines():
        quoted = _QUOTE.match(line)
        depth, content = (quoted[0].count(">"), line[quoted.end() :]) if quoted else (0, line)
        if flows != depth or content == "-- ":
            pieces.append("\n" + ">" * depth + " " * (depth > 0))
        elif delsp.lower() == "yes":
            pieces[-1] = pieces[-1][:-1]
        pieces.append(content)
        flows = depth if content.endswith(" ") and content != "-- " else -1
    return "".join(pieces)


def _parts(part: Message) -> list[Message]:
    payload: Any = part.get_payload() if part.is_multipart() else []
    return list(payload)


def _is_shown(part: Message) -> bool:
    """Text, or a multipart without boundary, which the parser leaves as text."""
    return part.get_content_maintype() in ("text", "multipart") and part.get_content_subtype() not in _NOT_SHOWN


def _forwarded(part: Message) -> Message:
    """The mail in a part. Some programs encode it in base64, against RFC 2046."""
    inner = _parts(part)[0]
    if inner.keys() or "base64" not in str(part.get("Content-Transfer-Encoding", "")).lower():
        return inner
    try:
        return _parse(binascii.a2b_base64(str(inner.get_payload())))
    except binascii.Error:
        return inner


def _alternative(parts: list[Message], attached: list[str], read_html: _HtmlReader, level: int) -> Iterator[str]:
    """The last one, which is the richest; the plain text where it says the same. An invitation has its event too."""
    invitations = [part for part in parts if part.get_content_subtype() == "calendar"]
    shown = [part for part in parts if (part.is_multipart() or _is_shown(part)) and part not in invitations] or parts
    best, best_text = shown[0], _words(shown[0])
    for part in shown[1:]:
        text = _words(part)
        if not says_all(best_text, text):
            best, best_text = part, text
    for part in parts:
        texts = list(_texts(part, attached, read_html if part is best else body_words, level))
        if part is best or part in invitations:
            yield from texts


def _words(part: Message) -> str:
    return " ".join(_texts(part, [], body_words, 1))


def says_all(plain: str, rich: str) -> bool:
    """Whether a plain text can stand for a richer one; stubs ("use a program that shows HTML") cannot."""
    said, words = (set(re.findall(r"\w+", text.casefold())) for text in (plain, rich))
    return len(words & said) >= _SAID * len(words)


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
