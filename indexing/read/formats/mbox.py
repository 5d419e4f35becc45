"""Mailboxes: one document a mail, with its Message-ID as key."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from indexing.errors import UnreadableError
from indexing.read.formats import eml
from indexing.read.formats.extract import Extract, Limits

_SEPARATOR = re.compile(rb"From .*\d\d:\d\d")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<?([^\s>]+)", re.IGNORECASE | re.MULTILINE)


def load(stream: BinaryIO, limits: Limits) -> Iterator[tuple[bytes, Extract]]:
    """(raw mail, extract) of each mail, in the order of the file.

    Raises UnreadableError after the last mail where some cannot be read.
    """
    wrong: list[str] = []
    number = 0
    for number, raw in enumerate(_mails(stream, limits), 1):
        try:
            extract = eml.load(_QUOTED.sub(rb"\1", raw), "", limits)
        except UnreadableError as exc:
            wrong.append(f"mail {number} ({exc})")
            continue
        key = _MESSAGE_ID.search(_HEADERS_END.split(raw, maxsplit=1)[0])
        yield raw, replace(extract, key=key[1].decode("utf-8", "replace") if key else str(number))
    if wrong:
        raise UnreadableError(f"{len(wrong)} of {number} mails cannot be read, the first: {wrong[0]}")


def _mails(stream: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """Each mail without its separator, the "From " line after a blank line."""
    lines: list[bytes] = []
    size, blank = 0, True
    for line in iter(lambda: stream.readline(limits.max_part_bytes), b""):
        if blank and _SEPARATOR.match(line):
            if size:
                yield b"".join(lines)
            lines, size = [], 0
        else:
            lines.append(line)
            size += len(line)
        if size > limits.max_part_bytes:
            raise UnreadableError(f"too large: one of its mails has more than {limits.max_part_bytes:,} bytes")
        blank = not line.strip()
    if size:
        yield b"".join(lines)
