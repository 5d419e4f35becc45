"""`ragline eval DATASET`"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.settings import AppSettings
from services.addresses import exclusive
from services.errors import BadRequestError, UnavailableError

_WIDTH = 140
"""Columns of the tables where the output is no terminal."""


def evaluate(
    dataset: Annotated[str, typer.Argument(help="A set of questions: docs/evaluation.md names the forms.")] = "",
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask a sample of so many questions.")] = None,
    stages: Annotated[str, typer.Option(help="Measure these alone, as retrieval,answers.")] = "",
    collection: Annotated[str, typer.Option("--collection", "-c", help="Ask of this one; nothing is indexed.")] = "",
    from_documents: Annotated[
        bool, typer.Option("--from-documents", help="Make the questions of a collection's own documents.")
    ] = False,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the run into this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with figures into this file.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Compare with a run of --json; exit status 1 on a significant drop.")
    ] = None,
    question: Annotated[
        str, typer.Option("--explain", help="Show this question (its id or text) in every stage, and nothing else.")
    ] = "",
) -> None:
    """Measure retrieval, answers, refusals, citations and cost on a set of questions, without a model that judges."""
    from app.evaluate.compare import compare, read_baseline  # noqa: PLC0415 - FAISS and more, for this command alone
    from app.evaluate.evaluation import explained, measured, wanted_of  # noqa: PLC0415
    from app.evaluate.report import print_differences, print_run  # noqa: PLC0415

    console = Console(soft_wrap=True)
    console = console if console.is_terminal else Console(soft_wrap=True, width=_WIDTH)
    if bool(dataset) == from_documents:
        raise BadRequestError("name a dataset, or give --from-documents for questions made of your own documents")
    _check_folders(as_json, html)
    wanted = wanted_of(dataset, collection, stages, limit)
    before = read_baseline(baseline) if baseline else None
    settings = AppSettings.load().running()
    if not all(getattr(settings, role).url for role in ("embed", "score", "generate")):
        raise typer.Exit(_with_services(settings, console))
    try:
        if question:
            asyncio.run(explained(settings, wanted, question, console))
            return
        run = asyncio.run(measured(settings, wanted, console))
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on with what is left.")
        raise typer.Exit(130) from None
    print_run(console, run)
    if as_json:
        as_json.write_text(run.to_json(), encoding="utf-8")
    differences = compare(run.measures, before) if before else []
    if before:
        print_differences(console, differences, str(baseline))
    if html:
        html.write_text(run.to_html(differences), encoding="utf-8")
    if any(each.is_drop for each in differences):
        raise typer.Exit(1)


def _check_folders(*files: Path | None) -> None:
    """Raises BadRequestError for a file that could not be written after all that was asked."""
    for file in files:
        if file and not file.parent.is_dir():
            raise BadRequestError(f"no such folder: {file.parent}, for {file.name}")


def _with_services(settings: AppSettings, console: Console) -> int:
    """Start the services for the time of this command, which runs again against them; return its exit status."""
    from app.up import Supervisor  # noqa: PLC0415

    async def run() -> int:
        supervisor = Supervisor(settings, console)
        if await supervisor.command("models", "pull", *(getattr(settings, name).model for name in supervisor.own)):
            raise UnavailableError("the models could not be fetched; see above")
        console.print("No ragline runs: starting one for this command …")
        async with supervisor.running():
            return await supervisor.command(*sys.argv[1:])

    try:
        with exclusive(settings.data_dir):
            return asyncio.run(run())
    except KeyboardInterrupt:  # the command was told, and said what is kept
        return 130
