"""EML by the standard library: subject, correspondents and date, then the body; attachments by name only."""

import email
import email.policy
from email.message import EmailMessage, MIMEPart

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Extract, Limits, require_chars, tidy
from indexing.read.formats.html import body_markdown
from indexing.read.formats.text import decode

_HEADERS = ("From", "To", "Cc", "Date")


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:64]:
        content = decode(content).encode()
    message = email.message_from_bytes(content, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise UnreadableError("broken mail: it has no headers")
    if message.get_content_type() in ("application/pkcs7-mime", "multipart/encrypted"):
        raise UnreadableError("encrypted: the mail can only be read with its recipient's key")
    headers = {name: one_line(_header(message, name)) for name in (*_HEADERS, "Subject")}
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


def _header(message: EmailMessage, name: str) -> str:
    try:
        return tidy(str(message.get(name) or ""))
    except (ValueError, TypeError, IndexError, AttributeError, LookupError):
        # Raised by the standard library for some malformed headers: take the raw value.
        return next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")


def _attachment(part: EmailMessage) -> str:
    try:
        return one_line(part.get_filename() or "") if part.get_content_disposition() == "attachment" else ""
    except (ValueError, TypeError, IndexError, AttributeError, LookupError):
        return "unnamed"


def _body(message: EmailMessage) -> str:
    """The plain text, else the HTML as Markdown."""
    try:
        part = message.get_body(("plain", "html"))
    except (KeyError, AttributeError, ValueError):
        part = None
    if part is None:
        part = next((p for p in message.walk() if p.get_content_maintype() == "text"), None)
    if part is None:
        return ""
    if part.get_content_subtype() == "html":
        return body_markdown(_payload(part))
    return _text(part)


def _payload(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: MIMEPart) -> str:
    payload = _payload(part)
    try:
        return payload.decode(part.get_content_charset() or "utf-8")
    except (UnicodeDecodeError, LookupError):
        return payload.decode("utf-8", "replace")
