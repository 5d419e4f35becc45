"""Filters, in the form of OpenAI's vector stores, to SQL over the table of documents.

{"type": "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin", "key": ..., "value": ...}
{"type": "and" | "or", "filters": [...]}

A key is one of document_id, source and title, or a name in the document's metadata. Values compare within their kind
(boolean, number, string); `ne` and `nin` are the complements of `eq` and `in`: they hold where the key is absent.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from indexing.document import Scalar
from indexing.errors import FilterError

Filters = Mapping[str, Any]
Clause = tuple[str, list[Any]]

_COMPARE = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_FIELDS = {"document_id": "id", "source": "source", "title": "title"}
_MAX_DEPTH = 16
_MAX_PARTS = 256
_MAX_VALUES = 10_000


def where(filters: Filters) -> Clause:
    """A condition on a row of `documents` and its parameters. Raises FilterError."""
    return _clause(filters, 0, [0])


def kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "b"
    return "s" if isinstance(value, str) else "n"


def _clause(node: Any, depth: int, parts: list[int]) -> Clause:
    if not isinstance(node, Mapping) or not isinstance(node.get("type"), str):
        raise FilterError(f"a filter is an object with a type; got {_short(node)}")
    parts[0] += 1
    if depth > _MAX_DEPTH or parts[0] > _MAX_PARTS:
        raise FilterError(f"a filter may have {_MAX_PARTS} parts, nested {_MAX_DEPTH} deep; this one has more")
    if node["type"] in {"and", "or"}:
        return _compound(node, depth, parts)
    return _comparison(node)


def _compound(node: Filters, depth: int, parts: list[int]) -> Clause:
    inner = node.get("filters")
    if not isinstance(inner, list | tuple) or not inner:
        raise FilterError(f"{node['type']!r} needs a list of filters; got {_short(inner)}")
    clauses = [_clause(each, depth + 1, parts) for each in inner]
    sql = f" {node['type'].upper()} ".join(f"({sql})" for sql, _ in clauses)
    return sql, [parameter for _, parameters in clauses for parameter in parameters]


def _comparison(node: Filters) -> Clause:
    operator, key, value = node["type"], node.get("key"), node.get("value")
    if not isinstance(key, str) or not key:
        raise FilterError(f"{operator!r} needs a key, a name in the metadata; got {_short(key)}")
    if operator in {"in", "nin"}:
        sql, parameters = _membership(key, value)
    elif operator == "ne":
        sql, parameters = _order(key, "eq", value)
    elif operator in _COMPARE:
        sql, parameters = _order(key, operator, value)
    else:
        raise FilterError(f"{operator!r} is not a type of filter: eq, ne, gt, gte, lt, lte, in, nin, and, or")
    return (f"NOT ({sql})" if operator in {"ne", "nin"} else sql), parameters


def _order(key: str, operator: str, value: Any) -> Clause:
    checked = _scalar(key, value)
    sign = _COMPARE[operator]
    if key in _FIELDS:
        return f"{_FIELDS[key]} {sign} ?", [checked]
    sql = f"key IN (SELECT document FROM metadata WHERE name = ? AND kind = ? AND value {sign} ?)"  # noqa: S608
    return sql, [key, kind(checked), checked]


def _membership(key: str, value: Any) -> Clause:
    if not isinstance(value, list | tuple) or len(value) > _MAX_VALUES:
        raise FilterError(f"'in' and 'nin' need a list of at most {_MAX_VALUES} values; got {_short(value)}")
    kinds: dict[str, list[Scalar]] = {}
    for each in value:
        checked = _scalar(key, each)
        kinds.setdefault(kind(checked), []).append(int(checked) if isinstance(checked, bool) else checked)
    if key in _FIELDS:
        return f"{_FIELDS[key]} IN (SELECT value FROM json_each(?))", [json.dumps(kinds.get("s", []))]  # noqa: S608
    each_kind = "name = ? AND kind = ? AND value IN (SELECT value FROM json_each(?))"
    sql = " OR ".join([f"({each_kind})"] * len(kinds)) or "0"
    parameters = [part for name, values in kinds.items() for part in (key, name, json.dumps(values))]
    return f"key IN (SELECT document FROM metadata WHERE {sql})", parameters  # noqa: S608


def _scalar(key: str, value: Any) -> Scalar:
    if not isinstance(value, str | int | float):
        raise FilterError(f"{key!r} is compared with a string, a number or a boolean; got {_short(value)}")
    if key in _FIELDS and not isinstance(value, str):
        raise FilterError(f"{key!r} is a string; got {_short(value)}")
    if not storable(value):
        raise FilterError(f"{key!r} is compared with a value that is no text or out of range: {_short(value)}")
    return value


def storable(value: Scalar) -> bool:
    """Whether SQLite can hold it: 64 bits, finite, and text that UTF-8 can write."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value) if not value.isascii() else True
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 (one line of a message)
