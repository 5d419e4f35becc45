"""Filters to Milvus' boolean expressions, over the rows of chunks.

Milvus compares JSON by rules of its own, and Milvus Lite takes no parameters. So a name in the metadata is stored with
its kind (`n_year` is the number "year"), names and values are written so that none ends early, and a condition that is
negated says that it holds where the name is absent.
"""

import re
from collections.abc import Iterable, Sequence

from indexing.document import Metadata, Scalar
from indexing.store.filters import FIELDS, Comparison, Filter, Filters, by_kind, kind, parsed

_SIGNS = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_NONE = "id < 0"
"""Of no row: ids count from 0."""
_ALL = "id >= 0"


def expression(filters: Filters) -> str:
    """Raises FilterError."""
    return _expression(parsed(filters))


def facts(metadata: Metadata) -> dict[str, Scalar]:
    """Metadata as the expressions look at it."""
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
    """JSON knows no `in` on Milvus Lite, so each value is compared by itself."""
    sign = _SIGNS.get(node.operator, "==")
    kinds = [
        _of_kind(f'facts["{_name(node.key, kind)}"]', sign, values, node)
        for kind, values in by_kind(node.values).items()
    ]
    if node.negated:
        return " and ".join(f"({each})" for each in kinds) or _ALL
    return " or ".join(f"({each})" for each in kinds) or _NONE


def _of_kind(path: str, sign: str, values: Sequence[Scalar], node: Comparison) -> str:
    text = _any([f"{path} {sign} {literal(value)}" for value in values])
    return f"(not (exists {path})) or (not ({text}))" if node.negated else text


def _any(parts: Sequence[str]) -> str:
    """Nested as a balanced tree: thousands in a row are too deep for a parser."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_any(parts[:half])}) or ({_any(parts[half:])})"


def _name(key: str, kind: str) -> str:
    """A key of the column `facts`: as it is where it is plain, else in hexadecimal digits."""
    return f"{kind}_{key}" if _PLAIN.fullmatch(key) else f"{kind}x_{key.encode().hex()}"
