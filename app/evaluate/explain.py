"""Shows one question on its way through the stages, and where it failed."""

from rich.console import Console
from rich.markup import escape

from app.evaluate.datasets import Case
from app.evaluate.measures import lost_at
from app.evaluate.run import RANKINGS, Record

_SHOWN = 5
_VERDICTS = {
    "search": "Search failed: neither search has a relevant document among its first.",
    "fusion": "Fusion failed: a search found a relevant document, but it is not among those that the reranker reads.",
    "rerank": "Ranking failed: the reranker read a relevant document, and kept others.",
    "refusal": "Abstention failed: a relevant passage was there, and the question was refused.",
    "answer": "Generation failed: a relevant passage was there, and the answer does not say what is right.",
}


def explain(console: Console, case: Case, record: Record, *, generates: bool) -> None:
    """Print the ranking after each stage with scores, relevant documents marked, the answer and the verdict."""
    console.print(f"\n[bold]{escape(record.question)}[/]  [dim]{escape(case.id)}[/]")
    for turn in case.history:
        console.print(f"  [dim]{turn['role']}: {escape(turn['content'])}[/]", highlight=False)
    for stage in RANKINGS:
        ranking = record.rankings.get(stage, ())
        places = [place for place, (name, _) in enumerate(ranking, start=1) if name in case.relevant]
        at = ", ".join(map(str, places)) or f"not among {len(ranking)}"
        relevant = f"relevant at {at}" if case.relevant else "no document is judged"
        console.print(f"\n[bold]{stage}[/]  {relevant}", highlight=False)
        shown = [place for place in range(1, len(ranking) + 1) if place <= _SHOWN or place in places[:1]]
        for place in shown:
            name, score = ranking[place - 1]
            mark = "[green]✓[/]" if name in case.relevant else " "
            console.print(f" {mark} {place:3} {score:9.4f}  {escape(name)}", highlight=False)
    if generates:
        said = "answered" if record.answered else "refused"
        console.print(
            f"\n[bold]{said}[/]  confidence {record.confidence:.3f}\n{escape(record.answer)}", highlight=False
        )
        for each in record.citations:
            verified = "verified" if each["verified"] else "[yellow]not verified[/]"
            console.print(f"  cites {escape(each['document'])}  {verified}", highlight=False)
        if case.answers:
            console.print(f"[dim]right: {escape(' | '.join(case.answers))}[/]", highlight=False)
    console.print(f"\n[bold]{verdict(case, record, generates=generates)}[/]")


def verdict(case: Case, record: Record, *, generates: bool) -> str:
    """A sentence that says which stage failed, if one did."""
    if record.error or record.degraded:
        return f"Not judged: {record.error or 'without ' + ', '.join(record.degraded)}."
    if case.answerable is False:
        if not generates:
            return "The documents do not answer this."
        return "Abstention failed: the documents do not answer this." if record.answered else "Rightly refused."
    if not case.relevant and not case.answers:
        return "Nothing is known of the right answer: no stage is judged."
    return _VERDICTS.get(lost_at(case, record, generates=generates), "No stage failed.")
