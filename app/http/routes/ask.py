"""POST /ask and POST /search."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, format_sse_event

from app.answer.citations import Citation
from app.answer.passages import Passage, Query
from app.answer.pipeline import AnswerDone, Prepared
from app.answer.prompt import Question, neutral
from app.answer.trace import Trace
from app.http.bulkheads import MeasuredAdmission
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
from services.http.errors import internal_error
from services.http.sse import UNBUFFERED

log = logging.getLogger(__name__)

STATUS_S = 5.0
"""A stream is never silent for longer: proxies cut a connection on which nothing comes."""

router = APIRouter(tags=["ask"])

EVENTS: dict[str, Any] = {
    "content": {
        "text/event-stream": {
            "itemSchema": {
                "type": "object",
                "properties": {
                    "event": {"enum": ["status", "sources", "delta", "citation", "done", "error"]},
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
    """A question whose retrieval runs, or has ended."""

    id: str
    body: AskBody
    retrieval: asyncio.Task[Prepared]
    trace: Trace


async def asked(body: AskBody, here: Here, request: Request) -> AsyncIterator[Asked]:
    """Retrieve in a dependency, so that a failure before the first event is answered with its own status.

    A stream begins after STATUS_S all the same.
    """
    with _logged(request, body.text, here) as trace:
        query = await _query(body, body.text, here, trace)
        retrieval = asyncio.create_task(here.pipeline.prepare(query, _question(body, here), trace))
        try:
            await asyncio.wait({retrieval}, timeout=STATUS_S if body.stream else None)
            if retrieval.done():
                retrieval.result()
            yield Asked(request.state.request_id, body, retrieval, trace)
        finally:
            retrieval.cancel()
            await asyncio.gather(retrieval, return_exceptions=True)


@router.post("/ask", response_model=AskOut, responses={200: EVENTS})
async def ask(asked: Annotated[Asked, Depends(asked)], here: Here) -> Any:
    """Answer a question from the documents, with citations; as server-sent events where `stream` is true.

    Events: `sources` first, then `delta` and `citation` as they come, `done` at the end, `error` where it breaks off;
    `status` names the stage wherever nothing else comes for some seconds.
    """
    if asked.body.stream:
        events = _with_status(_events(asked, here), asked)
        return EventSourceResponse(events, headers=UNBUFFERED)
    prepared = asked.retrieval.result()
    text, citations, done = "", list[CitationOut](), None
    async for event in here.pipeline.answer(prepared, asked.trace):
        match event:
            case str():
                text += event
            case Citation():
                citations.append(_citation(event, prepared.passages))
            case AnswerDone():
                done = _done(event, asked.trace, here)
    assert done is not None  # noqa: S101 - the pipeline always ends so
    return AskOut(
        id=asked.id,
        answer=text,
        citations=citations,
        sources=[source(p, with_text=asked.body.include_chunks) for p in prepared.passages],
        **done.model_dump(),
    )


@router.post("/search")
async def search(body: SearchBody, here: Here, request: Request) -> SearchOut:
    """The passages that /ask would answer from."""
    with _logged(request, body.query, here) as trace:
        passages = await here.pipeline.retrieve(await _query(body, body.query, here, trace), trace)
        return SearchOut(
            results=[source(passage) for passage in passages],
            degraded=trace.degraded,
            warnings=trace.warnings,
            timings_ms=_concluded(trace, "done", here, here.bulkheads.searches),
        )


@contextmanager
def _logged(request: Request, text: str, here: Orchestrator) -> Iterator[Trace]:
    """Trace a request, and write one line about it at its end."""
    trace = Trace.starting(here.settings.ask.deadline_s)
    try:
        yield trace
    except RaglineError as exc:
        trace.outcome = exc.type
        raise
    finally:
        fields = {
            "request_id": request.state.request_id,
            "route": request.scope["path"],
            "outcome": trace.outcome,
            "degraded": trace.degraded,
            "timings_ms": trace.finish(),
            **({"question": text} if here.settings.server.log_questions else {}),
        }
        log.info(" ".join(f"{name}={value!r}" for name, value in fields.items()), extra=fields)


async def _events(asked: Asked, here: Orchestrator) -> AsyncGenerator[bytes]:
    """Yield the answer's events; whatever goes wrong is one more of them."""
    try:
        if not asked.retrieval.done():
            yield _status(asked)
        prepared = await asked.retrieval
        sources = [source(p, with_text=asked.body.include_chunks).model_dump() for p in prepared.passages]
        yield _event("sources", {"id": asked.id, "sources": sources, "degraded": asked.trace.degraded})
        async for event in here.pipeline.answer(prepared, asked.trace):
            match event:
                case str():
                    yield _event("delta", {"text": event})
                case Citation():
                    yield _event("citation", _citation(event, prepared.passages).model_dump())
                case AnswerDone():
                    yield _event("done", _done(event, asked.trace, here).model_dump())
    except RaglineError as exc:
        asked.trace.outcome = exc.type
        yield _event("error", exc.body())
    except Exception:
        asked.trace.outcome = "failed"
        log.exception("request %s failed in its stream", asked.id)
        yield _event("error", internal_error())


async def _with_status(events: AsyncGenerator[bytes], asked: Asked) -> AsyncIterator[bytes]:
    """Yield the events, and a `status` whenever none has come for STATUS_S."""
    following: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events, None))
            if not (await asyncio.wait({following}, timeout=STATUS_S))[0]:
                yield _status(asked)
                continue
            event, following = following.result(), None
            if event is None:
                return
            yield event
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await events.aclose()


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
        support=citation.support,
        support_score=citation.support_score,
    )


def _done(event: AnswerDone, trace: Trace, here: Orchestrator) -> Done:
    usage = event.usage
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
        timings_ms=_concluded(trace, event.finish_reason, here, here.bulkheads.questions),
    )


def _concluded(trace: Trace, outcome: str, here: Orchestrator, places: MeasuredAdmission) -> dict[str, float]:
    """Count an answer in the metrics, and among those that its kind's places are measured by; return its timings."""
    timings = trace.finish()
    trace.outcome = outcome
    here.metrics.record(trace)
    places.answered()
    return timings


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(payload, ensure_ascii=False))


def _status(asked: Asked) -> bytes:
    return _event("status", {"stage": asked.trace.current})
