"""An evaluation from the documents to its figures: index, ask, measure."""

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.documents.library import Library
from app.evaluate import abstention, measures
from app.evaluate.collection import as_indexed, content_of, index, ingest_of
from app.evaluate.datasets import Case, Dataset, read_dataset
from app.evaluate.explain import explain
from app.evaluate.measures import Measure
from app.evaluate.mutations import Claim, claims
from app.evaluate.questions import MADE, from_documents, sampled_passages
from app.evaluate.report import Run
from app.evaluate.run import SEED, WAYS, Asker, Record, Records, limited, plan
from app.http.orchestrator import open_pipeline
from app.settings import AppSettings
from indexing.cli.display import duration
from indexing.store.interface import DocumentStore
from services.errors import BadRequestError

STAGES = ("retrieval", "answers", "abstention", "citations", "conversation", "robustness", "cost", "ingest")
_GENERATING = {"answers", "abstention", "citations", "robustness", "cost"}
_CLAIMS_FROM = 100
"""Passages of whose sentences false and true claims are made."""
_LINE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command asks for."""

    dataset: Dataset | None
    """None: questions made of the collection's documents."""
    collection: str
    """Empty: one of the dataset's own documents, or the default."""
    stages: tuple[str, ...]
    limit: int | None

    @property
    def generates(self) -> bool:
        return bool(_GENERATING & {*self.stages})


def wanted_of(dataset: str, collection: str, stages: str, limit: int | None) -> Wanted:
    """Read what the command is given. Raises BadRequestError, NotFoundError."""
    chosen = tuple(stage.strip() for stage in stages.split(",")) if stages else STAGES
    if unknown := [stage for stage in chosen if stage not in STAGES]:
        raise BadRequestError(f"no stage {', '.join(map(repr, unknown))}; there are {', '.join(STAGES)}")
    read = read_dataset(dataset) if dataset else None
    if read and not (read.texts or read.files or collection):
        raise BadRequestError(f"{dataset} names no documents; give --collection NAME, where they are indexed")
    return Wanted(read, collection, chosen, limit)


@dataclass(frozen=True, slots=True)
class Opened:
    dataset: Dataset
    asker: Asker
    store: DocumentStore
    models: dict[str, str]
    """By the service's role."""


@asynccontextmanager
async def open_set(settings: AppSettings, wanted: Wanted, console: Console) -> AsyncIterator[Opened]:
    """Reach the services, and index the dataset's documents unless they are."""
    dataset, name = wanted.dataset, wanted.collection
    async with AsyncExitStack() as stack:
        pipeline = await stack.enter_async_context(open_pipeline(settings))
        roles = {"embed": pipeline.embedder, "score": pipeline.scorer, "generate": pipeline.generator}
        models = {role: (await client.model()).id for role, client in roles.items()}
        if dataset and not name:
            pipeline = replace(pipeline, library=stack.enter_context(closing(Library(_apart(settings)))))
            name = await index(dataset, pipeline, settings, console)
        library = pipeline.library
        name = name or await library.default()
        await library.check_not_empty(name)
        store = await library.store(name)
        if dataset is None:
            dataset = await library.run(from_documents, store, name, wanted.limit or MADE)
        elif wanted.collection:
            dataset = await library.run(as_indexed, dataset, store, name)
        asker = Asker(pipeline, name, by_file=bool(dataset.files), generates=wanted.generates)
        yield Opened(dataset, asker, store, models)


def _apart(settings: AppSettings) -> AppSettings:
    """Settings by which a dataset's collection lies apart from the user's, whose default stays what it is."""
    milvus = settings.milvus.model_copy(update={"prefix": f"{settings.milvus.prefix}eval_"})
    return settings.model_copy(update={"data_dir": settings.data_dir / "evaluate", "milvus": milvus})


async def explained(settings: AppSettings, wanted: Wanted, question: str, console: Console) -> None:
    """Ask one question, by its id or text, and print what each stage gave."""
    async with open_set(settings, wanted, console) as opened:
        found = [case for case in opened.dataset.cases if question in (case.id, case.question)]
        case = found[0] if found else Case("not of the set", question, (), {}, (), None)
        explain(console, case, await opened.asker.ask(case, "asked"), generates=wanted.generates)


async def measured(settings: AppSettings, wanted: Wanted, console: Console) -> Run:
    """Ask the questions that an earlier run has not, and measure all."""
    async with open_set(settings, wanted, console) as opened:
        run_in_thread, dataset = opened.asker.pipeline.library.run, opened.dataset
        key = {
            "cases": dataset.cases,
            "documents": await run_in_thread(content_of, opened.store),
            "settings": settings.ask.model_dump(),
            "models": opened.models,
            "generates": wanted.generates,
        }
        records = Records(settings.data_dir / "evaluate", key)
        cases = limited(dataset.cases, wanted.limit)
        planned = plan(cases, wanted.stages)
        left = [(case, way) for case, way in planned if (case.id, way) not in records.done]
        if len(left) < len(planned):
            console.print(f"{len(planned) - len(left):,} were asked before; going on.", highlight=False)
        with _progress(console, len(left)) as advance:
            for case, way in left:
                records.add(await opened.asker.ask(case, way))
                advance()
        by_way: dict[str, dict[str, Record]] = {way: {} for way in WAYS}
        for case, way in planned:
            by_way[way][case.id] = records.done[case.id, way]
        run = await run_in_thread(_run, settings, wanted, opened, cases, by_way)
        records.finish()
        return run


def _run(
    settings: AppSettings, wanted: Wanted, opened: Opened, cases: Sequence[Case], by_way: dict[str, dict[str, Record]]
) -> Run:
    """Measure each stage that is wanted."""
    asked, hidden, store = by_way["asked"], by_way["hidden"], opened.store
    figures: dict[str, Callable[[], Iterator[Measure]]] = {
        "retrieval": lambda: measures.retrieval(cases, asked),
        "answers": lambda: measures.answers(cases, asked),
        "abstention": lambda: abstention.abstention(cases, asked, hidden),
        "citations": lambda: measures.citations(cases, asked, _claims(store)),
        "conversation": lambda: measures.conversation(cases, by_way),
        "robustness": lambda: measures.robustness(cases, by_way),
        "cost": lambda: measures.cost(asked),
        "ingest": lambda: measures.ingest(ingest_of(store), store.stats().documents),
    }
    slowest, share = measures.bottleneck(asked) if "cost" in wanted.stages else ("", 0.0)
    return Run(
        dataset=opened.dataset.name,
        path=str(opened.dataset.path),
        cases=len(opened.dataset.cases),
        collection=opened.asker.collection,
        documents=store.stats().documents,
        version=version("ragline"),
        models=opened.models,
        settings={"profile": settings.profile, **settings.ask.model_dump()},
        measures=[measure for stage in STAGES if stage in wanted.stages for measure in figures[stage]()],
        questions=[_question(case, asked[case.id], generates=wanted.generates) for case in cases],
        curve=abstention.curve(cases, asked, hidden) if "abstention" in wanted.stages else [],
        bottleneck=slowest,
        bottleneck_share=share,
        notes=list(_notes(wanted, by_way)),
    )


def _claims(store: DocumentStore) -> Iterator[Claim]:
    return claims(sampled_passages(store, _CLAIMS_FROM), random.Random(SEED))


def _question(case: Case, record: Record, *, generates: bool) -> dict[str, Any]:
    lost = "" if case.answerable is False else measures.lost_at(case, record, generates=generates)
    told = {name: getattr(record, name) for name in ("answer", "answered", "confidence", "citations", "error")}
    return {"id": case.id, "question": case.question, "answerable": case.answerable, "lost_at": lost, **told}


def _notes(wanted: Wanted, by_way: dict[str, dict[str, Record]]) -> Iterator[str]:
    """Yield what a reader of the figures must know."""
    if wanted.dataset is None:
        yield "The questions were made of the documents without a language model: easier than what people ask."
    if hidden := len(by_way["hidden"]):
        yield f"abstention: the set has no unanswerable question, so {hidden} were asked with their documents hidden."
    every = [record for records in by_way.values() for record in records.values()]
    for stage in dict.fromkeys(stage for record in every for stage in record.degraded):
        count = sum(stage in record.degraded for record in every)
        yield f"{count} questions were answered without {stage}, as its service failed: the figures tell less."
    if failed := [record.error for record in every if record.error]:
        yield f"{len(failed)} questions failed, and count as wrong; the first: {failed[0]}"


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Show how many are asked: a bar on a terminal, else a line every few seconds."""
    done, began = 0, time.monotonic()
    printed = began
    columns = (TextColumn("Asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def advance() -> None:
            nonlocal done, printed
            done += 1
            bar.advance(task)
            if not console.is_terminal and time.monotonic() - printed >= _LINE_EVERY_S:
                printed = time.monotonic()
                left = duration((printed - began) * (total - done) / done)
                console.print(f"asked {done} of {total}, {left} left", highlight=False)

        yield advance
