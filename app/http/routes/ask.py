"""POST /ask and POST /search."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, format_sse_event

from app.answer.citations import Citation
from app.answer.passages import Passage, Query
from app.answer.pipeline import AnswerDone, Found
from app.answer.prompt import Question, neutral
from app.answer.trace import Trace
from app.http.orchestrator import Here, Orchestrator
from app.http.schema import (
    AskBody,
    AskOut,
    ChatMessage,
    CitationOut,
    Done,
    RetrievalBody,
    SearchBody,
    SearchOut,
    Source,
    UsageOut,
)
from services.client import Message
from services.errors import RaglineError, TooLargeError

router = APIRouter(tags=["ask"])

EVENTS: dict[str, Any] = {
    "content": {
        "text/event-stream": {
            "itemSchema": {
                "type": "object",
                "properties": {
                    "event": {"enum": ["sources", "delta", "citation", "done", "error"]},
                    "data": {"type": "string", "contentMediaType": "application/json"},
                },
                "required": ["event", "data"],
            }
        }
    }
}
"""Where `stream` is true."""


@dataclass(frozen=True, slots=True)
class Asked:
    body: AskBody
    found: Found
    trace: Trace


async def found(body: AskBody, here: Here) -> Asked:
    """A dependency, so that whatever fails before the first event is a proper status."""
    trace = Trace.starting(here.settings.ask.deadline_s)
    found = await here.pipeline.find(await _query(body, body.text, here), _question(body, here), trace)
    return Asked(body, found, trace)


@router.post("/ask", response_model=AskOut, responses={200: EVENTS})
async def ask(asked: Annotated[Asked, Depends(found)], here: Here) -> Any:
    """Answer a question from the documents, with citations; as server-sent events where `stream` is true.

    Events: `sources` first, then `delta` and `citation` as they come, `done` at the end, `error` where it breaks off.
    """
    if asked.body.stream:
        return EventSourceResponse(_events(asked, here))
    text, citations, done = "", list[CitationOut](), None
    async for event in here.pipeline.answer(asked.found, asked.trace):
        match event:
            case str():
                text += event
            case Citation():
                citations.append(_citation(event, asked.found.passages))
            case AnswerDone():
                done = _done(event, asked.trace, here)
    assert done is not None  # noqa: S101 - the pipeline always ends so
    return AskOut(
        id=_id(),
        answer=text,
        citations=citations,
        sources=[source(p, with_text=asked.body.include_chunks) for p in asked.found.passages],
        **done.model_dump(),
    )


@router.post("/search")
async def search(body: SearchBody, here: Here) -> SearchOut:
    """The passages that /ask would answer from."""
    trace = Trace.starting(here.settings.ask.deadline_s)
    passages = await here.pipeline.retrieve(await _query(body, body.query, here), trace)
    timings = trace.finish()
    here.metrics.record(trace)
    return SearchOut(
        results=[source(passage) for passage in passages],
        degraded=trace.degraded,
        warnings=trace.warnings,
        timings_ms=timings,
    )


async def _events(asked: Asked, here: Orchestrator) -> AsyncIterator[bytes]:
    sources = [source(p, with_text=asked.body.include_chunks).model_dump() for p in asked.found.passages]
    yield _event("sources", {"id": _id(), "sources": sources, "degraded": asked.trace.degraded})
    try:
        async for event in here.pipeline.answer(asked.found, asked.trace):
            match event:
                case str():
                    yield _event("delta", {"text": event})
                case Citation():
                    yield _event("citation", _citation(event, asked.found.passages).model_dump())
                case AnswerDone():
                    yield _event("done", _done(event, asked.trace, here).model_dump())
    except RaglineError as exc:
        yield _event("error", exc.body())


async def _query(body: RetrievalBody, text: str, here: Orchestrator) -> Query:
    limits, defaults = here.settings.server, here.settings.ask
    if len(text) > limits.max_question_chars:
        raise TooLargeError(
            f"the question has {len(text)} characters, more than server.max_question_chars = "
            f"{limits.max_question_chars}; add long texts as documents, and ask about them"
        )
    depth = defaults.rerank_depth if body.rerank_depth is None else body.rerank_depth
    return Query(
        text=text,
        collection=body.collection or await here.library.default(),
        filters=body.filters,
        top_k=body.retrieve_k or defaults.top_k,
        rerank_depth=depth if body.rerank else 0,
        top_n=body.top_k or defaults.top_n,
        min_score=defaults.min_score if body.min_score is None else body.min_score,
    )


def _question(body: AskBody, here: Orchestrator) -> Question:
    defaults = here.settings.ask
    history = tuple(_turn(message) for message in (body.messages or [])[:-1])
    sampling = {
        "max_tokens": body.max_tokens or defaults.max_tokens,
        "temperature": defaults.temperature if body.temperature is None else body.temperature,
    }
    return Question(body.text, history, sampling)


def _turn(message: ChatMessage) -> Message:
    content = neutral(message.content)
    match message.role:
        case "system":
            return {"role": "system", "content": content}
        case "user":
            return {"role": "user", "content": content}
        case "assistant":
            return {"role": "assistant", "content": content}


def source(passage: Passage, *, with_text: bool = True) -> Source:
    chunk, hit = passage.chunk, passage.hit
    return Source(
        index=passage.index,
        document_id=chunk.document_id,
        chunk_id=chunk.id,
        title=chunk.title,
        url=chunk.source,
        page=chunk.page,
        heading=chunk.heading,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text if with_text else None,
        score=passage.score,
        score_scale="rrf" if passage.logit is None else "probability",
        rerank_score=passage.logit,
        dense_score=hit.dense_score,
        bm25_score=hit.bm25_score,
        rank_before=passage.rank_before,
        metadata=dict(chunk.metadata),
    )


def _citation(citation: Citation, passages: Sequence[Passage]) -> CitationOut:
    chunk = passages[citation.index - 1].chunk
    return CitationOut(
        index=citation.index,
        document_id=chunk.document_id,
        chunk_id=chunk.id,
        title=chunk.title,
        url=chunk.source,
        page=chunk.page,
        start=citation.start,
        end=citation.end,
        quote=citation.quote,
        quote_start=citation.quote_start,
        quote_end=citation.quote_end,
        verified=citation.verified,
    )


def _done(event: AnswerDone, trace: Trace, here: Orchestrator) -> Done:
    usage, timings = event.usage, trace.finish()
    here.metrics.record(trace)
    return Done(
        answered=event.answered,
        finish_reason=event.finish_reason,
        usage=UsageOut(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
        ),
        model=here.settings.generate.model_name,
        degraded=trace.degraded,
        warnings=trace.warnings,
        timings_ms=timings,
    )


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(payload, ensure_ascii=False))


def _id() -> str:
    return f"ask-{secrets.token_hex(12)}"
