"""Mailboxes: one document a mail, with its Message-ID as key."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from indexing.errors import UnreadableError
from indexing.read.formats import eml
from indexing.read.formats.extract import Extract, Limits
from indexing.read.formats.sniff import MAIL_HEADER

_POSTMARK = re.compile(
    rb"From (?:.* )?(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(?:[A-Z][a-z]{2} +\d\d?|\d\d? +[A-Z][a-z]{2})(?: +\d{4})?"
    rb" +\d\d?:\d\d(?::\d\d)?(?: +(?:[A-Z]{1,5}|[+-]\d{4}|\d{4})){0,3}|\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S{0,20})"
    rb"(?: remote from .*)?\s*$"
)
"""An address, a name or a dash, and at the end a date as of asctime(), RFC 5322 or ISO 8601."""
_HEADER = re.compile(rb">?From |[!-9;-~]+[ \t]*:|[ \t]")
_MAX_HEADERS = 200
"""Lines after a "From " line in which a header of mails must stand."""
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<?([^\s>]+)", re.IGNORECASE | re.MULTILINE)


def load(stream: BinaryIO, limits: Limits) -> Iterator[tuple[bytes, Extract]]:
    """(raw mail, extract) of each mail, in the order of the file.

    Raises UnreadableError after the last mail where some cannot be read.
    """
    wrong: list[str] = []
    number = 0
    for number, (raw, is_whole) in enumerate(_mails(stream, limits), 1):
        try:
            extract = _extract(raw, limits, is_whole=is_whole)
        except UnreadableError as exc:
            wrong.append(f"mail {number} ({exc})")
            continue
        key = _MESSAGE_ID.search(_HEADERS_END.split(raw, maxsplit=1)[0])
        yield raw, replace(extract, key=key[1].decode("utf-8", "replace") if key else str(number))
    if wrong:
        raise UnreadableError(f"{len(wrong)} of {number} mails cannot be read, the first: {wrong[0]}")


def _extract(raw: bytes, limits: Limits, *, is_whole: bool) -> Extract:
    if not is_whole:
        raise UnreadableError(f"too large: more than {limits.max_part_bytes:,} bytes")
    try:
        return eml.load(_QUOTED.sub(rb"\1", raw), "", limits)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise UnreadableError(f"broken mail: {type(exc).__name__}: {exc}") from exc


def _mails(stream: BinaryIO, limits: Limits) -> Iterator[tuple[bytes, bool]]:
    """Each mail without its separator, the "From " line after a blank line and before headers; whether it is whole."""
    lines: list[bytes] = []
    size, blank = 0, True
    ahead: list[bytes] = []
    while line := ahead.pop() if ahead else stream.readline(limits.max_part_bytes):
        if blank and _POSTMARK.match(line) and _are_headers(ahead or _block(stream, ahead)):
            if size:
                yield b"".join(lines), size <= limits.max_part_bytes
            lines, size = [], 0
        else:
            size += len(line)
            if size <= limits.max_part_bytes:
                lines.append(line)
        blank = not line.strip()
    if size:
        yield b"".join(lines), size <= limits.max_part_bytes


def _block(stream: BinaryIO, ahead: list[bytes]) -> list[bytes]:
    """Read the lines up to a blank one into `ahead`, the next one last."""
    while len(ahead) < _MAX_HEADERS and (line := stream.readline(64 * 1024)):
        ahead.append(line)
        if not line.strip():
            break
    ahead.reverse()
    return ahead


def _are_headers(ahead: list[bytes]) -> bool:
    """Whether the lines, the next one last, begin with a header, and one is a header that mails have."""
    if not ahead or not _HEADER.match(ahead[-1]) or ahead[-1][:1] in (b" ", b"\t"):
        return False
    for line in reversed(ahead):
        if not _HEADER.match(line):
            return False
        if not line.startswith(b"From ") and MAIL_HEADER.match(line):
            return True
    return False
