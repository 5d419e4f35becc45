"""Filters to SQL over the table of documents."""

import json
from typing import Any

from indexing.store.filters import FIELDS, Comparison, Filter, Filters, by_kind, parsed

Clause = tuple[str, list[Any]]

_COMPARE = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def where(filters: Filters) -> Clause:
    """A condition on a row of `documents` and its parameters. Raises FilterError."""
    return _clause(parsed(filters))


def _clause(node: Filter) -> Clause:
    if isinstance(node, Comparison):
        sql, parameters = _membership(node) if node.operator == "in" else _order(node)
        return (f"NOT ({sql})" if node.negated else sql), parameters
    clauses = [_clause(each) for each in node.parts]
    sql = f" {node.operator.upper()} ".join(f"({sql})" for sql, _ in clauses)
    return sql, [parameter for _, parameters in clauses for parameter in parameters]


def _order(node: Comparison) -> Clause:
    sign, (value,) = _COMPARE[node.operator], node.values
    if node.key in FIELDS:
        return f"{_column(node.key)} {sign} ?", [value]
    ((kind, _),) = by_kind(node.values).items()
    sql = f"key IN (SELECT document FROM metadata WHERE name = ? AND kind = ? AND value {sign} ?)"  # noqa: S608
    return sql, [node.key, kind, value]


def _membership(node: Comparison) -> Clause:
    kinds = by_kind(node.values)
    if node.key in FIELDS:
        return f"{_column(node.key)} IN (SELECT value FROM json_each(?))", [json.dumps(kinds.get("s", []))]  # noqa: S608
    each_kind = "name = ? AND kind = ? AND value IN (SELECT value FROM json_each(?))"
    sql = " OR ".join([f"({each_kind})"] * len(kinds)) or "0"
    parameters = [part for name, values in kinds.items() for part in (node.key, name, json.dumps(values))]
    return f"key IN (SELECT document FROM metadata WHERE {sql})", parameters  # noqa: S608


def _column(key: str) -> str:
    return "id" if key == "document_id" else key
