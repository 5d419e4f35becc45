"""The parts of an orchestrator process, built once and handed to every route."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx2
from fastapi import Depends, Request

from app.answer.answerability import answerability_of
from app.answer.breaker import Breaker
from app.answer.entailment import Entailment
from app.answer.pipeline import Pipeline
from app.answer.prompt import PromptBuilder
from app.documents.files import Files
from app.documents.ingest import Ingest
from app.documents.library import Library
from app.http.answer_cache import AnswerCache
from app.http.bulkheads import Bulkheads
from app.http.metrics import AppMetrics
from app.settings import AppSettings
from services.client import EmbedClient, EntailmentClient, GenerateClient, ScoreClient, ServiceClient


@dataclass(frozen=True, slots=True)
class Orchestrator:
    settings: AppSettings
    library: Library
    pipeline: Pipeline
    ingest: Ingest
    files: Files
    metrics: AppMetrics
    bulkheads: Bulkheads
    answers: AnswerCache

    @property
    def services(self) -> dict[str, ServiceClient]:
        pipeline = self.pipeline
        return {"embed": pipeline.embedder, "score": pipeline.scorer, "generate": pipeline.generator} | (
            {"verify": pipeline.entailment.client} if pipeline.entailment else {}
        )


@asynccontextmanager
async def open_orchestrator(
    settings: AppSettings,
    metrics: AppMetrics,
    bulkheads: Bulkheads,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncIterator[Orchestrator]:
    """Build the pipeline and the ingest worker; close them in reverse."""
    async with open_pipeline(settings, transport) as pipeline:
        ingest = Ingest(settings, pipeline.library, pipeline.embedder)
        files = Files(settings.data_dir / "files")
        async with ingest.working():
            answers = AnswerCache(settings, pipeline.library, metrics)
            yield Orchestrator(settings, pipeline.library, pipeline, ingest, files, metrics, bulkheads, answers)


@asynccontextmanager
async def open_pipeline(
    settings: AppSettings, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[Pipeline]:
    """Build the clients and the collections; close them in reverse."""
    answerability = answerability_of(settings)
    embedder = EmbedClient(settings.embed, transport=transport)
    scorer = ScoreClient(settings.score, transport=transport)
    generator = GenerateClient(settings.generate, transport=transport)
    library = Library(settings)
    prompts = PromptBuilder(settings.ask, generator)
    breakers = {client.role: Breaker(client) for client in (embedder, scorer, generator)}
    judge = EntailmentClient(settings.verify, transport=transport)
    entailment = Entailment(judge, Breaker(judge)) if settings.verify.is_named else None
    try:
        yield Pipeline(settings.ask, library, embedder, scorer, generator, prompts, breakers, answerability, entailment)
    finally:
        for client in (embedder, scorer, generator, judge):
            await client.aclose()
        library.close()


def orchestrator_of(request: Request) -> Orchestrator:
    orchestrator: Orchestrator = request.app.state.orchestrator
    return orchestrator


Here = Annotated[Orchestrator, Depends(orchestrator_of)]
