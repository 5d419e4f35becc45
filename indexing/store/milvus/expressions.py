"""Translates filters to Milvus' boolean expressions over the rows of chunks.

Metadata are in the JSON column `facts`, under names with their kind: `n_year` is the number "year". So values of
different kinds are never compared. Values are quoted here, for Milvus Lite takes no parameters.
"""

import re
from collections.abc import Iterable, Sequence

from indexing.document import Metadata, Scalar
from indexing.store.filters import FIELDS, Comparison, Filter, Filters, by_kind, kind, parse

_SIGNS = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_NONE = "id < 0"
"""Matches no row: ids count from 0."""
_ALL = "id >= 0"


def expression(filters: Filters) -> str:
    """Raises FilterError."""
    return _expression(parse(filters))


def facts(metadata: Metadata) -> dict[str, Scalar]:
    """Metadata as the column `facts` holds it."""
    return {
        _name(key, kind(value)): int(value) if isinstance(value, bool) else value for key, value in metadata.items()
    }


def literal(value: Scalar) -> str:
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(int(value) if isinstance(value, bool) else value)


def among(column: str, values: Iterable[Scalar]) -> str:
    return f"{column} in [{', '.join(map(literal, values))}]"


def _expression(node: Filter) -> str:
    if isinstance(node, Comparison):
        return _column(node) if node.key in FIELDS else _fact(node)
    return f" {node.operator} ".join(f"({_expression(part)})" for part in node.parts)


def _column(node: Comparison) -> str:
    column = "document" if node.key == "document_id" else node.key
    if node.operator == "in" and not node.values:
        return _ALL if node.negated else _NONE
    text = (
        among(column, node.values)
        if node.operator == "in"
        else f"{column} {_SIGNS[node.operator]} {literal(node.values[0])}"
    )
    return f"not ({text})" if node.negated else text


def _fact(node: Comparison) -> str:
    """Compares value by value, for Milvus Lite has no `in` for JSON."""
    sign = _SIGNS.get(node.operator, "==")
    kinds = [
        _of_kind(f'facts["{_name(node.key, kind)}"]', sign, values, node)
        for kind, values in by_kind(node.values).items()
    ]
    if node.negated:
        return " and ".join(f"({each})" for each in kinds) or _ALL
    return " or ".join(f"({each})" for each in kinds) or _NONE


def _of_kind(path: str, sign: str, values: Sequence[Scalar], node: Comparison) -> str:
    text = any_of([f"{path} {sign} {literal(value)}" for value in values])
    return f"(not (exists {path})) or (not ({text}))" if node.negated else text


def any_of(parts: Sequence[str]) -> str:
    """Joined as a balanced tree: a chain of thousands is too deep for Milvus' parser."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({any_of(parts[:half])}) or ({any_of(parts[half:])})"


def _name(key: str, kind: str) -> str:
    """The key in `facts`: a plain key as it is, others in hexadecimal digits."""
    return f"{kind}_{key}" if _PLAIN.fullmatch(key) else f"{kind}x_{key.encode().hex()}"
