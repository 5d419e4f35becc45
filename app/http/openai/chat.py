"""GET /v1/models and POST /v1/chat/completions: one stream that suits all chat clients.

Each of its objects is a whole chunk; what is ours stands beside `choices`, where clients that do not know it pass over
it: `event` for Open WebUI, `search_results` for LobeChat, annotations and `citations` for the others.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from app.answer.citations import Citation
from app.answer.passages import Passage
from app.http.openai.front import WITH_LINKS, Front, annotation, ask_body, drained, front_of, name_of, spoken
from app.http.openai.tasks import Task, task_of
from app.http.orchestrator import Here, Orchestrator
from app.http.routes.ask import Asked, kept_alive, retrieving
from app.http.schema import Done, Source
from app.http.tracing import failing
from app.http.wire import source_out
from services.errors import BadRequestError
from services.http import paths  # noqa: F401 - the address' {model:id}
from services.http.sse import STREAM, event_stream
from services.protocol import ModelEntry, ModelList, Usage, new_id, now
from services.protocol.chat import ChatCompletion, ChatRequest

EXCERPT_CHARS = 300
_WAITS = {"rerank": "Reading what was found", "evidence": "Reading the sources", "generate": "Writing the answer"}

router = APIRouter(prefix="/v1", tags=["openai"])


class Completion(ChatCompletion):
    """A chat completion, with what the answer rests on."""

    answered: bool | None = None
    degraded: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)
    sources: list[Source] = Field(default_factory=list)
    search_results: list[dict[str, Any]] = Field(default_factory=list)
    citations: list[str] = Field(default_factory=list)


@router.get("/models")
async def models(here: Here) -> ModelList:
    """List the collections, each once more as NAME+sources, whose answers end with links."""
    names = await here.library.names()
    return ModelList(data=[ModelEntry(id=name + suffix) for name in names for suffix in ("", WITH_LINKS)])


@router.get("/models/{model:id}")
async def model(model: str, request: Request, here: Here) -> ModelEntry:
    return ModelEntry(id=(await front_of(model, request, here)).model)


async def _asked(body: ChatRequest, request: Request, here: Here) -> AsyncIterator[tuple[Front, Asked | Task]]:
    """Retrieve in a dependency, as /ask does; a client's own chores (titles, tags) need no documents."""
    front = await front_of(body.model, request, here)
    if (body.n or 1) > 1:
        raise BadRequestError("one answer is made of a question: n must be 1", param="n")
    if task := task_of(body.messages, body.max_tokens or body.max_completion_tokens):
        yield front, task
        return
    limits = {"max_tokens": body.max_completion_tokens or body.max_tokens, "temperature": body.temperature}
    async with retrieving(ask_body(body.messages, front, stream=bool(body.stream), **limits), here, request) as asked:
        yield front, asked


@router.post("/chat/completions", response_model=Completion, response_model_exclude_unset=True, responses={200: STREAM})
async def chat_completions(
    body: ChatRequest, asked: Annotated[tuple[Front, Asked | Task], Depends(_asked)], here: Here
) -> Any:
    """Answer the last turn from the collection that `model` names, with citations."""
    front, question = asked
    reply = Reply(front)
    if isinstance(question, Task):
        events = _chore(question, body, reply, here)
    else:
        events = kept_alive(_answer(question, reply, here), lambda: reply.waiting(question.trace.current))
    if body.stream:
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return await event_stream(_chunks(events, reply, with_usage=with_usage))
    await drained(events)
    return JSONResponse(reply.completion())


@dataclass(slots=True)
class Reply:
    """One completion, as its chunks or, when all were made, as a whole."""

    front: Front
    id: str = field(default_factory=lambda: f"chatcmpl-{new_id()}")
    created: int = field(default_factory=now)
    text: str = ""
    annotations: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """What is ours, beside `choices`."""
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        return {**self._head("chat.completion.chunk"), "choices": choices, **extra}

    def status(self, description: str, *, done: bool) -> dict[str, Any]:
        return self.chunk({}, event={"type": "status", "data": {"description": description, "done": done}})

    def waiting(self, stage: str) -> dict[str, Any]:
        return self.status(_WAITS.get(stage, "Searching the documents"), done=bool(self.extra))

    def write(self, text: str) -> dict[str, Any]:
        self.text += text
        return self.chunk({"content": text})

    def usage_chunk(self) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage.model_dump()}

    def completion(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.text, "refusal": None, "annotations": self.annotations}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}]
        return {**self._head("chat.completion"), "choices": choices, "usage": self.usage.model_dump(), **self.extra}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.front.model}


async def _chunks(
    events: AsyncGenerator[dict[str, Any]], reply: Reply, *, with_usage: bool
) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(events):
        async for event in events:
            yield event
    if with_usage:
        yield reply.usage_chunk()


async def _answer(asked: Asked, reply: Reply, here: Orchestrator) -> AsyncGenerator[dict[str, Any]]:
    """Yield the chunks of an answer, in the one order that no client stumbles over."""
    front = reply.front
    with failing(asked.trace):
        prepared = await asked.retrieval
        passages = prepared.passages
        results = [_search_result(passage, front) for passage in passages]
        sources = [source_out(passage).model_dump() for passage in passages]
        reply.extra |= {"sources": sources, "search_results": results}
        yield reply.chunk({"role": "assistant", "content": ""}, **reply.extra)
        yield reply.status(f"Found {len(passages)} passages", done=True)
        for passage in passages:
            yield reply.chunk({}, event=_source_event(passage, front))
        async for event in spoken(prepared, asked, front, here):
            match event:
                case str():
                    yield reply.write(event)
                case Citation():
                    kind, cited = annotation(event, passages, front)
                    reply.annotations.append({"type": kind, kind: cited})
                case Done():
                    done = event
        if front.with_links or front.is_open_webui:
            reply.annotations = []
        if reply.annotations:
            urls = list(dict.fromkeys(each["url_citation"]["url"] for each in reply.annotations))
            reply.extra["citations"] = urls
            yield reply.chunk({"content": "", "annotations": reply.annotations}, citations=urls)
        reply.finish_reason = "length" if done.finish_reason == "length" else "stop"
        reply.usage = Usage(**done.usage.model_dump())
        last: dict[str, Any] = {"degraded": done.degraded, "answered": done.answered, "timings": done.timings_ms}
        reply.extra |= {**last, "warnings": done.warnings}
        yield reply.chunk({}, reply.finish_reason, **last)


async def _chore(task: Task, body: ChatRequest, reply: Reply, here: Orchestrator) -> AsyncGenerator[dict[str, Any]]:
    """Yield the chunks of a chat client's own request: a title, tags, what to ask next."""
    yield reply.chunk({"role": "assistant", "content": ""})
    yield reply.write(await task.answer(body, here))
    yield reply.chunk({}, "stop")


def _search_result(passage: Passage, front: Front) -> dict[str, Any]:
    excerpt = " ".join(passage.chunk.text.split())[:EXCERPT_CHARS]
    return {"title": name_of(passage), "url": front.view(passage), "date": None, "snippet": excerpt}


def _source_event(passage: Passage, front: Front) -> dict[str, Any]:
    """Return Open WebUI's event of a source.

    It merges those of one `source`, so that is the passage's, and counts pages from 0.
    """
    name, url = name_of(passage), front.view(passage)
    page = passage.page_at(passage.chunk.start)
    metadata = {"source": url, "name": name, "url": url, **({"page": page - 1} if page else {})}
    data = {
        "source": {"id": url, "name": name, "url": url},
        "document": [passage.chunk.text],
        "metadata": [metadata],
        "distances": [passage.score],
    }
    return {"type": "source", "data": data}
