"""POST /ask and POST /search."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, format_sse_event

from app.answer.citations import Citation
from app.answer.passages import Query
from app.answer.pipeline import AnswerDone, Prepared
from app.answer.trace import Trace
from app.http.answer_cache import Event
from app.http.orchestrator import Here, Orchestrator
from app.http.queries import query_in_conversation, query_of, question_of
from app.http.schema import AskBody, AskOut, SearchBody, SearchOut
from app.http.tracing import concluded, traced
from app.http.wire import citation_out, done_out, source_out
from services.errors import RaglineError
from services.http.errors import internal_error
from services.http.sse import UNBUFFERED

log = logging.getLogger(__name__)
T = TypeVar("T")

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
    key: bytes | None = None
    """What its answer is kept under."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A question whose answer was kept."""

    id: str
    body: AskBody
    events: list[Event]
    trace: Trace


@asynccontextmanager
async def retrieving(body: AskBody, here: Orchestrator, request: Request) -> AsyncIterator[Asked]:
    """Retrieve until the retrieval has ended; for a stream, until STATUS_S have passed."""
    with traced(request, body.text, here) as trace:
        query = await query_in_conversation(body, here, trace)
        async with _prepared(body, query, here, request, trace) as retrieved:
            yield retrieved


@asynccontextmanager
async def _prepared(
    body: AskBody, query: Query, here: Orchestrator, request: Request, trace: Trace
) -> AsyncIterator[Asked]:
    retrieval = asyncio.create_task(here.pipeline.prepare(query, question_of(body, here), trace))
    try:
        await asyncio.wait({retrieval}, timeout=STATUS_S if body.stream else None)
        if retrieval.done():
            retrieval.result()
        yield Asked(request.state.request_id, body, retrieval, trace)
    finally:
        retrieval.cancel()
        await asyncio.gather(retrieval, return_exceptions=True)


async def asked(body: AskBody, here: Here, request: Request) -> AsyncIterator[Asked | Kept]:
    """Retrieve in a dependency, so that a failure before the first event is answered with its own status."""
    with traced(request, body.text, here) as trace:
        query = await query_in_conversation(body, here, trace)
        key = await here.answers.key(body, query)
        fresh = "no-cache" in request.headers.get("Cache-Control", "")
        if not fresh and (events := here.answers.find(key)) is not None:
            yield Kept(request.state.request_id, body, events, trace)
            return
        async with _prepared(body, query, here, request, trace) as retrieved:
            yield replace(retrieved, key=key)


@router.post("/ask", response_model=AskOut, responses={200: EVENTS})
async def ask(asked: Annotated[Asked | Kept, Depends(asked)], here: Here) -> Any:
    """Answer a question from the documents, with citations; as server-sent events where `stream` is true.

    Events: `sources` first, then `delta` and `citation` as they come, `done` at the end, `error` where it breaks off;
    `status` names the stage wherever nothing else comes for some seconds.
    """
    events = _again(asked) if isinstance(asked, Kept) else _events(asked, here)
    if asked.body.stream:
        return EventSourceResponse(
            kept_alive(_written(events, asked), lambda: _status(asked.trace)), headers=UNBUFFERED
        )
    answer: dict[str, Any] = {"answer": "", "citations": []}
    async for name, data in events:
        match name:
            case "delta":
                answer["answer"] += data["text"]
            case "citation":
                answer["citations"].append(data)
            case _:
                answer |= data
    return AskOut(**answer)


@router.post("/search")
async def search(body: SearchBody, here: Here, request: Request) -> SearchOut:
    """The passages that /ask would answer from."""
    with traced(request, body.query, here) as trace:
        passages = await here.pipeline.retrieve(await query_of(body, body.query, here, trace), trace)
        return SearchOut(
            results=[source_out(passage) for passage in passages],
            degraded=trace.degraded,
            warnings=trace.warnings,
            timings_ms=concluded(trace, "done", here, here.bulkheads.searches),
        )


async def _events(asked: Asked, here: Orchestrator) -> AsyncGenerator[Event]:
    """Yield what the answer consists of, as it comes; keep it when it is whole."""
    prepared = await asked.retrieval
    sources = [source_out(p, with_text=asked.body.include_chunks).model_dump() for p in prepared.passages]
    first = {"id": asked.id, "sources": sources, "degraded": asked.trace.degraded}
    known = {"searched_for": prepared.searched_for, "answerability": prepared.answerability}
    events: list[Event] = [("sources", {**first, **known})]
    yield events[-1]
    async for event in here.pipeline.answer(prepared, asked.trace):
        match event:
            case str():
                events.append(("delta", {"text": event}))
            case Citation():
                events.append(("citation", citation_out(event, prepared.passages).model_dump()))
            case AnswerDone():
                events.append(("done", done_out(event, asked.trace, here).model_dump()))
                here.answers.keep(asked.key, events)
        yield events[-1]


async def _again(kept: Kept) -> AsyncGenerator[Event]:
    """Yield a kept answer, with the id and the time of this request."""
    kept.trace.outcome = "cached"
    anew: dict[str, dict[str, Any]] = {
        "sources": {"id": kept.id},
        "done": {"cached": True, "timings_ms": kept.trace.finish()},
    }
    for name, data in kept.events:
        yield name, data | anew.get(name, {})


async def _written(events: AsyncGenerator[Event], asked: Asked | Kept) -> AsyncGenerator[bytes]:
    """Yield the events as they are sent; whatever goes wrong is one more of them."""
    try:
        if isinstance(asked, Asked) and not asked.retrieval.done():
            yield _status(asked.trace)
        async with aclosing(events):
            async for name, data in events:
                yield _event(name, data)
    except RaglineError as exc:
        asked.trace.outcome = exc.type
        yield _event("error", exc.body())
    except Exception:
        asked.trace.outcome = "failed"
        log.exception("request %s failed in its stream", asked.id)
        yield _event("error", internal_error())


async def kept_alive(events: AsyncGenerator[T], status: Callable[[], T]) -> AsyncGenerator[T]:
    """Yield the events, and a `status` whenever none has come for STATUS_S."""
    following: asyncio.Future[T | None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events, None))
            if not (await asyncio.wait({following}, timeout=STATUS_S))[0]:
                yield status()
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


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(payload, ensure_ascii=False))


def _status(trace: Trace) -> bytes:
    return _event("status", {"stage": trace.current})
