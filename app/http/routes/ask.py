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
from app.answer.pipeline import AnswerDone, Prepared
from app.answer.prompt import Question, neutral
from app.answer.trace import Trace
from app.http.orchestrator import Here, Orchestrator
from app.http.schema import (
    MAX_TOP_N,
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
    prepared: Prepared
    trace: Trace


async def prepared(body: AskBody, here: Here) -> Asked:
    """Retrieve in a dependency, so that a failure before the first event is answered with its own status."""
    trace = Trace.starting(here.settings.ask.deadline_s)
    query = await _query(body, body.text, here, trace)
    return Asked(body, await here.pipeline.prepare(query, _question(body, here), trace), trace)


@router.post("/ask", response_model=AskOut, responses={200: EVENTS})
async def ask(asked: Annotated[Asked, Depends(prepared)], here: Here) -> Any:
    """Answer a question from the documents, with citations; as server-sent events where `stream` is true.

    Events: `sources` first, then `delta` and `citation` as they come, `done` at the end, `error` where it breaks off.
    """
    if asked.body.stream:
        return EventSourceResponse(_events(asked, here))
    text, citations, done = "", list[CitationOut](), None
    async for event in here.pipeline.answer(asked.prepared, asked.trace):
        match event:
            case str():
                text += event
            case Citation():
                citations.append(_citation(event, asked.prepared.passages))
            case AnswerDone():
                done = _done(event, asked.trace, here)
    assert done is not None  # noqa: S101 - the pipeline always ends so
    return AskOut(
        id=_id(),
        answer=text,
        citations=citations,
        sources=[source(p, with_text=asked.body.include_chunks) for p in asked.prepared.passages],
        **done.model_dump(),
    )


@router.post("/search")
async def search(body: SearchBody, here: Here) -> SearchOut:
    """The passages that /ask would answer from."""
    trace = Trace.starting(here.settings.ask.deadline_s)
    passages = await here.pipeline.retrieve(await _query(body, body.query, here, trace), trace)
    timings = trace.finish()
    here.metrics.record(trace)
    here.bulkheads.searches.answered()
    return SearchOut(
        results=[source(passage) for passage in passages],
        degraded=trace.degraded,
        warnings=trace.warnings,
        timings_ms=timings,
    )


async def _events(asked: Asked, here: Orchestrator) -> AsyncIterator[bytes]:
    sources = [source(p, with_text=asked.body.include_chunks).model_dump() for p in asked.prepared.passages]
    yield _event("sources", {"id": _id(), "sources": sources, "degraded": asked.trace.degraded})
    try:
        async for event in here.pipeline.answer(asked.prepared, asked.trace):
            match event:
                case str():
                    yield _event("delta", {"text": event})
                case Citation():
                    yield _event("citation", _citation(event, asked.prepared.passages).model_dump())
                case AnswerDone():
                    yield _event("done", _done(event, asked.trace, here).model_dump())
    except RaglineError as exc:
        yield _event("error", exc.body())


async def _query(body: RetrievalBody, text: str, here: Orchestrator, trace: Trace) -> Query:
    """Fill in the settings' defaults. The cross-encoder reads at least as many candidates as are kept."""
    limits, defaults = here.settings.server, here.settings.ask
    if len(text) > limits.max_question_chars:
        raise TooLargeError(
            f"the question has {len(text)} characters, more than server.max_question_chars = "
            f"{limits.max_question_chars}; add long texts as documents, and ask about them"
        )
    top_k, top_n = _renamed(body, trace)
    top_n = top_n or defaults.top_n
    depth = defaults.rerank_depth if body.rerank_depth is None else body.rerank_depth
    if not body.rerank or depth == 0:
        depth = 0
    elif depth < top_n:
        if body.rerank_depth is not None:
            trace.warnings.append(f"rerank: rerank_depth {depth} is less than top_n, so {top_n} candidates were read")
        depth = top_n
    return Query(
        text=text,
        collection=body.collection or await here.library.default(),
        filters=body.filters,
        top_k=max(top_k or defaults.top_k, top_n),
        rerank_depth=depth,
        top_n=top_n,
        min_score=defaults.min_score if body.min_score is None else body.min_score,
    )


def _renamed(body: RetrievalBody, trace: Trace) -> tuple[int | None, int | None]:
    """Return top_k and top_n; through 0.2 of a body in the old names, retrieve_k and top_k, with a warning."""
    top_k, top_n = body.top_k, body.top_n
    if body.retrieve_k is not None:
        trace.warnings.append("deprecated: retrieve_k is now top_k, and top_k is now top_n; 0.3 refuses retrieve_k")
        return body.retrieve_k, top_n or top_k
    if top_k is not None and top_n is None and top_k <= MAX_TOP_N:
        trace.warnings.append(
            "deprecated: top_k without top_n was read as top_n, the passages kept; from 0.3 on it is the hits of each "
            "search. Send top_n"
        )
        return None, top_k
    return top_k, top_n


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
        page=passage.page_at(chunk.start),
        page_end=passage.page_at(chunk.end - 1),
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
    passage = passages[citation.index - 1]
    chunk = passage.chunk
    return CitationOut(
        index=citation.index,
        document_id=chunk.document_id,
        chunk_id=chunk.id,
        title=chunk.title,
        url=chunk.source,
        page=passage.page_at(citation.quote_start),
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
    here.bulkheads.questions.answered()
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
