"""Parses filters, which have the form of those of OpenAI's vector stores.

{"type": "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin", "key": ..., "value": ...}
{"type": "and" | "or", "filters": [...]}

A key is document_id, source, title, or a name in the document's metadata. A value is compared with values of its kind:
boolean, number or string. `ne` and `nin` match all that `eq` and `in` do not, documents without the key too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from indexing.document import Scalar
from indexing.errors import FilterError

Filters = Mapping[str, Any]

FIELDS = ("document_id", "source", "title")
"""Keys of the document itself; all others are names in its metadata."""
_ORDERS = {"eq", "gt", "gte", "lt", "lte"}
_NEGATED = {"ne": "eq", "nin": "in"}
_MAX_DEPTH = 16
_MAX_PARTS = 256
_MAX_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    key: str
    operator: str
    """eq, gt, gte, lt, lte, in"""
    values: tuple[Scalar, ...]
    """One, unless the operator is `in`."""
    negated: bool


@dataclass(frozen=True, slots=True)
class Compound:
    operator: Literal["and", "or"]
    parts: "tuple[Comparison | Compound, ...]"


Filter = Comparison | Compound


def parse(filters: Filters) -> Filter:
    """Raises FilterError."""
    return _parse(filters, 0, [0])


def kind(value: Scalar) -> str:
    """ "b" for a boolean, "n" for a number, "s" for a string."""
    if isinstance(value, bool):
        return "b"
    return "s" if isinstance(value, str) else "n"


def by_kind(values: tuple[Scalar, ...]) -> dict[str, list[Scalar]]:
    """Kind -> its values, booleans as 0 and 1."""
    kinds: dict[str, list[Scalar]] = {}
    for each in values:
        kinds.setdefault(kind(each), []).append(int(each) if isinstance(each, bool) else each)
    return kinds


def _parse(node: Any, depth: int, parts: list[int]) -> Filter:
    if not isinstance(node, Mapping) or not isinstance(node.get("type"), str):
        raise FilterError(f"a filter is an object with a 'type', not {_short(node)}")
    parts[0] += 1
    if depth > _MAX_DEPTH or parts[0] > _MAX_PARTS:
        raise FilterError(f"a filter may have {_MAX_PARTS} parts, nested {_MAX_DEPTH} deep; this one has more")
    if node["type"] in {"and", "or"}:
        inner = node.get("filters")
        if not isinstance(inner, list | tuple) or not inner:
            raise FilterError(f"{node['type']!r} needs a non-empty list of filters, not {_short(inner)}")
        return Compound(node["type"], tuple(_parse(each, depth + 1, parts) for each in inner))
    return _comparison(node)


def _comparison(node: Filters) -> Comparison:
    given, key, value = node["type"], node.get("key"), node.get("value")
    if not isinstance(key, str) or not key or not storable(key):
        raise FilterError(f"{given!r} needs a 'key', a name in the metadata, not {_short(key)}")
    operator = _NEGATED.get(given, given)
    if operator == "in":
        if not isinstance(value, list | tuple) or len(value) > _MAX_VALUES:
            raise FilterError(f"'in' and 'nin' need a list of at most {_MAX_VALUES} values, not {_short(value)}")
        values = tuple(_scalar(key, each) for each in value)
    elif operator in _ORDERS:
        values = (_scalar(key, value),)
    else:
        raise FilterError(f"{given!r} is no type of filter: use eq, ne, gt, gte, lt, lte, in, nin, and, or")
    return Comparison(key, operator, values, given in _NEGATED)


def _scalar(key: str, value: Any) -> Scalar:
    if not isinstance(value, str | int | float):
        raise FilterError(f"{key!r} is compared with a string, a number or a boolean, not {_short(value)}")
    if key in FIELDS and not isinstance(value, str):
        raise FilterError(f"{key!r} is a string, and is not compared with {_short(value)}")
    if not storable(value):
        raise FilterError(f"{key!r} is compared with {_short(value)}, which is out of range or has a surrogate")
    return value


def storable(value: Scalar) -> bool:
    """Whether SQLite can hold it: an integer of 64 bits, a finite float, or a string without surrogates."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value) if not value.isascii() else True
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 (one line of a message)
