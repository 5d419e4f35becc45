"""Prints the API's answers in the terminal."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from app.doctor import Finding

console = Console(soft_wrap=True)

FORMS = {"quoted": "Quoted word for word.", "worded": "In the language model's own words."}
SUPPORT = {
    "quoted": "[green]✓[/]",
    "entailed": "[green]≈[/]",
    "unsupported": "[yellow]?[/]",
    "contradicted": "[red]✗[/]",
}
LEVELS = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "problem": "[red]✗[/]"}


def print_json(answer: dict[str, Any]) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))


def print_sources(sources: list[dict[str, Any]], cited: dict[int, list[int]]) -> None:
    """Print each source; a cited one with the pages of its quotes."""
    for source in sources:
        quoted = cited.get(source["index"])
        mark = "[green]✓[/]" if quoted else " "
        origin = origin_of(source, quoted)
        console.print(f" {mark} [bold]\\[{source['index']}][/] {origin}  [dim]{source['score']:.3f}[/]")


def print_missing(done: dict[str, Any]) -> None:
    """Print, where nothing was found, the words that no source has, and that the sources are only the nearest."""
    if done["outcome"] == "not_found":
        if done["missing"]:
            console.print(f"[yellow]In none of the sources: {escape(', '.join(done['missing']))}.[/]")
        console.print("[dim]The nearest passages:[/]")


def print_claim(result: dict[str, Any]) -> None:
    """Print a claim with what the documents say of it, and where."""
    source = result["source"]
    console.print(f"{SUPPORT[result['support']]} {escape(' '.join(result['claim'].split()))}", highlight=False)
    if result["support"] == "unsupported" or source is None:
        console.print(f"    [dim]{escape(result['why'])}[/]", highlight=False)
        return
    said = f"“{' '.join(result['quote'].split())}” - " if result["support"] != "quoted" else ""
    console.print(f"    [dim]{escape(said)}[/]{origin_of(source, [result['page']])}", highlight=False)


def print_findings(findings: "Iterable[Finding]") -> None:
    for each in findings:
        console.print(f"{LEVELS[each.level]} {each.subject:<9} {escape(each.says)}", highlight=False)
        if each.cure:
            console.print(f"            [dim]{escape(each.cure)}[/]", highlight=False)


def print_calibration(report: dict[str, Any]) -> None:
    """Print how well answerable questions are told from the others, and what the threshold costs and holds."""
    console.print(f"{report['answerable']} answerable questions and {report['unanswerable']} others; cross-validated:")
    console.print(f"  AUROC                      {report['auroc']:.3f}")
    console.print(f"  refused where 95 % are kept {report['refused_at_95_kept']:.0%}")
    console.print(f"  calibration error          {report['calibration_error']:.3f}\n")
    console.print("  answered  of these unanswerable")
    for answered, wrong in report["risk_coverage"]:
        console.print(f"  {answered:8.0%}  {wrong:21.0%}")
    kept, most = report["answerable_kept"], report["unanswerable_answered_at_most"]
    console.print(
        f"\nthreshold {report['threshold']:.3f}: {kept:.0%} of the answerable questions are kept, and at most "
        f"{most:.1%} of unanswerable ones are answered ({report['confidence']:.0%} confidence, n = {report['n']})."
    )


def print_duplicate(found: dict[str, Any]) -> None:
    """Print a document, and below it those that repeat it."""
    console.print(f"[bold]{_named(found['document'])}[/]", highlight=False)
    for copy in found["copies"]:
        how = "the same text" if copy["exact"] else f"{copy['share']:.0%} of its chunks"
        console.print(f"    {how}  {_named(copy['document'])}", highlight=False)
    if more := found["copies_found"] - len(found["copies"]):
        console.print(f"    and {more} more", highlight=False)


def _named(document: dict[str, Any]) -> str:
    return f"{escape(document['title'] or document['id'])}  [dim]{escape(document['url'])}[/]"


def print_warnings(outcome: dict[str, Any]) -> None:
    for warning in outcome["warnings"]:
        console.print(f"[yellow]{escape(warning)}[/]")


def print_outcome(outcome: dict[str, Any]) -> None:
    print_warnings(outcome)
    if outcome.get("cached"):
        console.print("[dim]as answered before[/]")
    stages = "  ".join(f"{name} {ms:.0f}" for name, ms in outcome["timings_ms"].items())
    console.print(f"[dim]ms: {stages}[/]")


def origin_of(source: dict[str, Any], quoted: list[int] | None = None) -> str:
    pages = sorted(set(quoted or [source["page"], source["page_end"]])) if source["page"] else []
    joint = ", " if quoted else "-"
    page = f", page {joint.join(map(str, pages))}" if pages else ""
    return escape((source["heading"] or source["title"] or source["url"]) + page) + f"  [dim]{escape(source['url'])}[/]"


def print_counts(counts: Counter[str]) -> None:
    """Print how many claims of each kind there were."""
    console.print("\n" + "  ".join(f"{SUPPORT[name]} {count} {name}" for name, count in counts.most_common()))
