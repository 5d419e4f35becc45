"""Compares a claim with a row of a table, by the names of its columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.answer.tables import Cells
from app.answer.terms import Term, forms_of, terms
from app.answer.verdict import Fault


@dataclass(slots=True)
class _Placed:
    """Where a claim's terms stand: in values, in names of columns, or nowhere."""

    used: dict[int, set[str]] = field(default_factory=dict)
    """By column, the keys of its value that the claim has, in the claim's order."""
    named: list[int] = field(default_factory=list)
    """The columns that the claim names, in its order."""
    missing: list[str] = field(default_factory=list)


def row_fault(claim: Sequence[Term], cells: Cells, context: frozenset[str], code: str) -> tuple[Fault | None, float]:
    """Return what is wrong with a claim about a row, and the share of its terms that the row holds.

    Its words stand in the values of two columns or more. A column that it names has its whole value in the claim; where
    it names several with numbers, the numbers come in the same order.
    """
    values = [terms(value, code) for _, value in cells]
    said = [(each.marks, _forms([each])) for value in values for each in value]
    for term in claim:
        if term.marks not in ({marks for marks, forms in said if forms & _forms([term])} or {frozenset()}):
            return ("unsupported", "the table says it otherwise, or with less certainty"), 0.0
    names = [_forms(terms(name, code)) for name, _ in cells]
    placed = _place(claim, [_forms(value) for value in values], names, context)
    held = 1 - len(placed.missing) / len(claim)
    if placed.missing:
        return ("unsupported", f"not there: {', '.join(placed.missing)}"), held
    for i in placed.named:
        if not {each.key for each in values[i] if each.is_key} <= placed.used.get(i, set()) or i not in placed.used:
            return ("unsupported", f"another value of {cells[i][0]!r} in the table"), held
    numbers = [i for i in placed.named if values[i] and values[i][0].is_number]
    if len(placed.used) < 2 or [i for i in placed.used if i in numbers] != numbers:  # noqa: PLR2004
        return ("unsupported", "not of one row, by the names of its columns"), held
    return None, held


def _place(
    claim: Sequence[Term], values: Sequence[set[str]], names: Sequence[set[str]], context: frozenset[str]
) -> _Placed:
    placed = _Placed()
    for term in claim:
        forms = _forms([term])
        there = [i for i, value in enumerate(values) if forms & value]
        columns = [i for i, name in enumerate(names) if forms & name]
        if there:
            placed.used.setdefault(next((i for i in there if i in placed.named), there[0]), set()).update(forms)
        elif columns:
            placed.named += [columns[0]] if columns[0] not in placed.named else []
        elif not forms & context:
            placed.missing.append(term.word)
    return placed


def _forms(said: Sequence[Term]) -> set[str]:
    return forms_of(said).union(*(term.parts() for term in said))
