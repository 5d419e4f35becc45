"""CSV and TSV, whatever the delimiter."""

import csv
import io
import re

from indexing.errors import UnreadableError
from indexing.read.formats import table_text
from indexing.read.formats.charset import decode
from indexing.read.formats.extract import Extract, Limits, require_chars, tidy
from indexing.read.formats.text import require_printable

csv.field_size_limit(16 * 2**20)
_SEPARATOR = re.compile(r"\A\"?sep=([^\n\"]?)\"?[ \t]*(?:\n|\Z)", re.IGNORECASE)
"""The line by which Excel is told the delimiter; its tab is gone, as a trailing blank."""


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    text = tidy(decode(content))
    require_printable(text)
    require_chars(len(text), limits)
    told = _SEPARATOR.match(text)
    text = text[told.end() :] if told else text
    if not text:
        raise UnreadableError("empty: it has no rows")
    usual = "\t" if media_type == "text/tab-separated-values" else _delimiter(text)
    delimiter = (told[1] or "\t") if told else usual
    try:
        rendered = table_text.render(csv.reader(io.StringIO(text), delimiter=delimiter), heading="# ")
    except csv.Error as exc:
        raise UnreadableError(f"broken CSV: {exc}") from exc
    return Extract(rendered)


def _delimiter(text: str) -> str:
    """The one that splits most of the first lines into the same number of fields; a comma where none does."""
    lines = text[: 64 * 1024].splitlines()[:50]

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) if usual > 1 else 0, usual)

    return max(",;\t|", key=score)
