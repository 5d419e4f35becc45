"""Prints a run, and writes it as JSON and as one page of HTML."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.evaluate.compare import FORMAT, Difference
from app.evaluate.measures import LOST_AT, Measure

_LISTED = 3
_PAGE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Run:
    """What one `ragline eval` measured."""

    dataset: str
    path: str
    cases: int
    """Questions of the set; those of this run are in `questions`."""
    collection: str
    documents: int
    version: str
    models: Mapping[str, str]
    settings: Mapping[str, Any]
    measures: Sequence[Measure]
    questions: Sequence[Mapping[str, Any]]
    """id, question, answer, answered, confidence, lost_at."""
    curve: Sequence[tuple[float, float]]
    """(coverage, risk)"""
    bottleneck: str
    bottleneck_share: float
    notes: Sequence[str]

    @cached_property
    def lost(self) -> dict[str, list[Mapping[str, Any]]]:
        """The questions that each stage lost, in the order of the stages."""
        return {stage: [q for q in self.questions if q["lost_at"] == stage] for stage in LOST_AT}

    def to_json(self) -> str:
        measures = [{"name": each.name, **asdict(each)} for each in self.measures]
        content = {"format": FORMAT, **self.__dict__, "measures": measures}
        content.pop("lost", None)
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"

    def to_html(self, differences: Sequence[Difference]) -> str:
        page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        page.filters |= {"said": said, "spread": spread}
        changes = {(each.measure.stage, each.measure.name): each for each in differences}
        return page.from_string(_PAGE.read_text()).render(run=self, stages=by_stage(self.measures), changes=changes)


def by_stage(measures: Sequence[Measure]) -> list[tuple[str, list[tuple[str, list[Measure]]]]]:
    """(stage, (row, its figures))"""
    stages = groupby(measures, key=lambda each: each.stage)
    return [(stage, [(row, list(of)) for row, of in groupby(each, key=lambda m: m.row)]) for stage, each in stages]


def said(value: float, unit: str = "") -> str:
    """A value as it is printed: a share with three places, others with three figures or more."""
    if math.isnan(value):
        return "–"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3f}" if value <= 1 and not unit else f"{value:.3g}"  # noqa: PLR2004
    return number + unit


def spread(measure: Measure) -> str:
    """The 95 % interval; "" for a figure of one run."""
    if measure.low is None or measure.high is None:
        return ""
    low, high = (said(value, measure.unit).removesuffix(measure.unit) for value in (measure.low, measure.high))
    return f"{low}–{high}"


def _cell(measure: Measure) -> str:
    within = spread(measure)
    return said(measure.value, measure.unit) + (f" [dim]\\[{within}][/]" if within else "")


def print_run(console: Console, run: Run) -> None:
    asked = f"{len(run.questions):,} of {run.cases:,} questions, {run.documents:,} documents"
    models = ", ".join(f"{role} {name}" for role, name in run.models.items())
    console.print(f"\n[bold]{escape(run.dataset)}[/]: {asked}", highlight=False)
    console.print(f"[dim]{escape(models)}; ragline {run.version}. In brackets: 95 % intervals.[/]", highlight=False)
    for stage, rows in by_stage(run.measures):
        columns = list(dict.fromkeys(each.column for _, measures in rows for each in measures))
        table = Table(f"[bold]{stage}[/]", *columns, "n", box=None, pad_edge=False, header_style="dim")
        for row, measures in rows:
            cells = {each.column: _cell(each) for each in measures}
            table.add_row(row, *(cells.get(column, "") for column in columns), f"{measures[0].n:,}")
        console.print("")
        console.print(table)
    if run.bottleneck:
        console.print(f"The bottleneck is [bold]{run.bottleneck}[/]: {run.bottleneck_share:.0%} of the time.")
    print_lost(console, run)
    for note in run.notes:
        console.print(f"[yellow]{escape(note)}[/]")


def print_lost(console: Console, run: Run) -> None:
    """Print how many questions each stage lost, and the first of them."""
    counted = ", ".join(f"{stage} {len(lost)}" for stage, lost in run.lost.items() if lost)
    console.print(f"\n[bold]Lost at[/]  {counted or 'no stage'}", highlight=False)
    for stage, lost in run.lost.items():
        for question in lost[:_LISTED]:
            console.print(
                f"  {stage:8} [dim]{escape(question['id'])}[/]  {escape(question['question'])}", highlight=False
            )
    if counted:
        console.print("[dim]--explain ID shows a question's way through the stages; --json and --html have all.[/]")


def print_differences(console: Console, differences: Sequence[Difference], baseline: str) -> None:
    """Print what differs from the baseline."""
    table = Table(f"[bold]against {escape(baseline)}[/]", "before", "now", "change", "p", "n", box=None, pad_edge=False,
                  header_style="dim")  # fmt: skip
    for each in differences:
        m = each.measure
        if each.change and m.stage not in ("cost", "ingest"):
            colour = "red" if each.is_drop else "green" if each.is_significant else "dim"
            p = "" if each.p is None else f"{each.p:.3f}"
            change = f"[{colour}]{each.change:+.3f}[/]"
            table.add_row(f"{m.stage}: {m.name}", said(each.before), said(m.value), change, p, f"{each.n or m.n}")
    console.print("")
    console.print(table if table.row_count else f"Nothing differs from {escape(baseline)}.")
    drops = [f"{each.measure.stage}: {each.measure.name}" for each in differences if each.is_drop]
    verdict = f"[red]Significantly worse: {', '.join(drops)}.[/]" if drops else "No significant drop."
    console.print(f"{verdict} [dim](paired tests, Holm-corrected, 5 %)[/]", highlight=False)
