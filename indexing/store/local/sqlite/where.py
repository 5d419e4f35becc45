"""Translates filters to SQL."""

import json
from collections.abc import Sequence
from typing import Any

from indexing.store.filters import FIELDS, Comparison, Filter, Filters, by_kind, kind, parse

Clause = tuple[str, list[Any]]

_COMPARE = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def where(filters: Filters) -> Clause:
    """A condition on the table `documents`, and its parameters. Raises FilterError."""
    return _clause(parse(filters))


def _clause(node: Filter) -> Clause:
    if isinstance(node, Comparison):
        sql, parameters = _membership(node) if node.operator == "in" else _range([node])
        return (f"NOT ({sql})" if node.negated else sql), parameters
    clauses = _all_of(node.parts) if node.operator == "and" else [_clause(each) for each in node.parts]
    sql = f" {node.operator.upper()} ".join(f"({sql})" for sql, _ in clauses)
    return sql, [parameter for _, parameters in clauses for parameter in parameters]


def _all_of(parts: Sequence[Filter]) -> list[Clause]:
    """Clauses for parts joined by AND. Comparisons of the same key become one range, for one lookup in the index."""
    ranges: dict[tuple[str, str], list[Comparison]] = {}
    clauses = []
    for each in parts:
        if isinstance(each, Comparison) and each.operator != "in" and not each.negated:
            ranges.setdefault((each.key, kind(each.values[0])), []).append(each)
        else:
            clauses.append(_clause(each))
    return [*map(_range, ranges.values()), *clauses]


def _range(nodes: Sequence[Comparison]) -> Clause:
    """All of the comparisons; they have one key, and values of one kind."""
    key = nodes[0].key
    column = _column(key) if key in FIELDS else "value"
    compared = " AND ".join(f"{column} {_COMPARE[node.operator]} ?" for node in nodes)
    values = [value for node in nodes for value in node.values]
    if key in FIELDS:
        return compared, values
    sql = f"key IN (SELECT document FROM metadata WHERE name = ? AND kind = ? AND {compared})"  # noqa: S608
    return sql, [key, kind(values[0]), *values]


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
