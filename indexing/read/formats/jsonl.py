"""JSONL, and JSON lists of records: one document a record. Fields are found by the usual names."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from indexing.document import Scalar, one_line
from indexing.errors import UnreadableError
from indexing.read.formats import charset
from indexing.read.formats.extract import Extract, Limits, tidy
from indexing.read.formats.json import as_text, parse

TEXT = ("text", "content", "page_content", "contents", "body", "passage", "abstract", "markdown")
TITLE = ("title", "name", "headline")
_LONG_VALUE = 4096
"""Characters; a longer field is content, not metadata."""
KEY = ("_id", "id", "doc_id", "document_id", "docid", "uid")


def are_records(value: Any) -> bool:
    """A list of objects that all have a text field."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and _text_field(v) for v in value)


def are_lines(content: bytes) -> bool:
    """Whether the first two lines are an object each, as of JSON Lines with the suffix .json."""
    lines = [line for line in content.lstrip().split(b"\n", 2)[:2] if line.strip()]
    return len(lines) > 1 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)


def load(stream: BinaryIO, limits: Limits) -> Iterator[tuple[bytes, Extract]]:
    """(raw line, extract) of each record, read line by line.

    Raises UnreadableError after the last record where some lines are not JSON.
    """
    wrong: list[str] = []
    found = 0
    number = 0
    readline = charset.line_reader(stream)
    while line := readline(limits.max_record_bytes + 1):
        number += 1
        if len(line) > limits.max_record_bytes:
            raise UnreadableError(f"too large: line {number} has more than {limits.max_record_bytes:,} bytes")
        if not line.strip():
            continue
        try:
            record = parse(line)
        except UnreadableError as exc:
            wrong.append(f"line {number} ({exc})")
            continue
        found += 1
        yield line, of_record(record, number)
    if wrong:
        raise UnreadableError(f"{len(wrong)} of {found + len(wrong)} lines are not JSON, the first: {wrong[0]}")
    if not found:
        raise UnreadableError("empty: it has no records")


def of_list(values: list[Any]) -> Iterator[tuple[bytes, Extract]]:
    for number, value in enumerate(values, 1):
        yield json.dumps(value, sort_keys=True).encode(), of_record(value, number)


def of_record(record: Any, number: int) -> Extract:
    """The text field, else all fields; the key is the id, else the number in the file."""
    if not isinstance(record, dict):
        return Extract(tidy(as_text(record)), key=str(number))
    field = _text_field(record)
    titled = next((name for name in TITLE if _first(record, (name,))), "")
    title = one_line(tidy(_first(record, TITLE)))
    metadata, rest = _metadata(record, {field, titled})
    text = tidy("\n\n".join(filter(None, (str(record[field]), as_text(rest)))) if field else as_text(record))
    return Extract(text or title, title, metadata=metadata, key=_first(record, KEY) or str(number))


def _text_field(record: Mapping[str, Any]) -> str:
    """The first field with text, else the first that is empty; "" without one."""
    found = [name for name in TEXT if isinstance(record.get(name), str)]
    return next((name for name in found if record[name].strip()), found[0] if found else "")


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next(
        (str(record[name]) for name in names if isinstance(record.get(name), str | int) and record[name] != ""), ""
    )


def _metadata(record: Mapping[str, Any], taken: set[str]) -> tuple[dict[str, Scalar], dict[str, Any]]:
    """Scalars with a value and lists of them, also of an object named metadata or meta; then the other fields.

    The id is record_id.
    """
    fields: dict[str, Any] = {}
    inner = [name for name in ("metadata", "meta") if isinstance(record.get(name), dict)]
    for name in inner:
        fields |= record[name]
    fields |= {name: value for name, value in record.items() if name not in (*taken, *inner, *KEY)}
    fields = {name: value for name, value in fields.items() if not isinstance(value, str) or tidy(value).strip()}
    if key := _first(record, KEY):
        fields["record_id"] = key
    scalars = {one_line(tidy(name)): _scalar(value) for name, value in fields.items()}
    rest = {name: value for name, value in fields.items() if scalars[one_line(tidy(name))] is None}
    return {name: value for name, value in scalars.items() if name and value is not None}, rest


def _scalar(value: Any) -> Scalar | None:
    """What a database column can hold: no long text, no integer beyond 64 bits, no NaN or infinity; else None."""
    if isinstance(value, list) and value and all(isinstance(item, str | int) for item in value):
        value = ", ".join(map(str, value))
    if isinstance(value, str):
        value = one_line(tidy(value))
        return value if len(value) <= _LONG_VALUE else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and abs(value) < 2**63 else None
