"""POST /v1/responses: the Responses API, each answer for itself; nothing is stored."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from app.answer.citations import Citation
from app.http.openai.front import Front, annotation, ask_body, drained, front_of, spoken
from app.http.orchestrator import Here, Orchestrator
from app.http.routes.ask import Asked, kept_alive, retrieving
from app.http.schema import Done
from app.http.tracing import failing
from services.errors import BadRequestError
from services.http.sse import STREAM, event_stream
from services.protocol import Wire, new_id, now
from services.protocol.chat import ChatMessage

router = APIRouter(prefix="/v1", tags=["openai"])


class ResponsesBody(Wire):
    model: str | None = None
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool | None = False
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = False

    @property
    def messages(self) -> list[ChatMessage]:
        """The turns of the input; items that are no messages (calls of tools, reasoning) are left out."""
        said = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        turns = [ChatMessage(**item) for item in said if "role" in item]
        return [ChatMessage(role="system", content=self.instructions), *turns] if self.instructions else turns


async def _asked(body: ResponsesBody, request: Request, here: Here) -> AsyncIterator[tuple[Front, Asked]]:
    for name in ("previous_response_id", "conversation", "background"):
        if getattr(body, name):
            raise BadRequestError(f"{name} is not served: nothing is stored; send the whole conversation", param=name)
    front = await front_of(body.model, request, here)
    limits = {"max_tokens": body.max_output_tokens, "temperature": body.temperature}
    async with retrieving(ask_body(body.messages, front, stream=bool(body.stream), **limits), here, request) as asked:
        yield front, asked


@router.post("/responses", responses={200: STREAM})
async def responses(body: ResponsesBody, asked: Annotated[tuple[Front, Asked], Depends(_asked)], here: Here) -> Any:
    """Answer the last turn of the input from the collection that `model` names; citations are annotations."""
    front, question = asked
    response = Response(front, body)
    events = kept_alive(_events(question, response, here), response.in_progress)
    if body.stream:
        return await event_stream(events, named=True)
    await drained(events)
    return JSONResponse(response.body())


@dataclass(slots=True)
class Response:
    """One response, as its events or, when all were made, as a whole. Its output is one message of one text."""

    front: Front
    asked: ResponsesBody
    id: str = field(default_factory=lambda: f"resp_{new_id()}")
    item_id: str = field(default_factory=lambda: f"msg_{new_id()}")
    created: int = field(default_factory=now)
    text: str = ""
    annotations: list[dict[str, Any]] = field(default_factory=list)
    status: str = "in_progress"
    usage: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"response.{kind}", "sequence_number": next(self._numbers), **fields}

    def in_progress(self) -> dict[str, Any]:
        return self.event("in_progress", response=self.body())

    def of_text(self, kind: str, **fields: Any) -> dict[str, Any]:
        return self.event(kind, item_id=self.item_id, output_index=0, content_index=0, **fields)

    def write(self, text: str) -> dict[str, Any]:
        self.text += text
        return self.of_text("output_text.delta", delta=text, logprobs=[])

    def part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self.text, "annotations": self.annotations, "logprobs": []}

    def item(self) -> dict[str, Any]:
        content = [] if self.status == "in_progress" else [self.part()]
        return {"id": self.item_id, "type": "message", "role": "assistant", "status": self.status, "content": content}

    def body(self) -> dict[str, Any]:
        is_cut = self.status == "incomplete"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": self.status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": self.asked.instructions,
            "max_output_tokens": self.asked.max_output_tokens,
            "model": self.front.model,
            "output": [] if self.status == "in_progress" else [self.item()],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "temperature": self.asked.temperature,
            "tool_choice": "none",
            "tools": [],
            "top_p": None,
            "metadata": {},
            "store": False,
            "usage": self.usage,
            **self.extra,
        }


async def _events(asked: Asked, response: Response, here: Orchestrator) -> AsyncGenerator[dict[str, Any]]:
    front = response.front
    with failing(asked.trace):
        yield response.event("created", response=response.body())
        yield response.in_progress()
        prepared = await asked.retrieval
        passages = prepared.passages
        yield response.event("output_item.added", output_index=0, item=response.item())
        yield response.of_text("content_part.added", part=response.part())
        async for event in spoken(prepared, asked, front, here):
            match event:
                case str():
                    yield response.write(event)
                case Citation() if not front.with_links:
                    kind, fields = annotation(event, passages, front)
                    place, cited = len(response.annotations), {"type": kind, **fields}
                    response.annotations.append(cited)
                    yield response.of_text("output_text.annotation.added", annotation_index=place, annotation=cited)
                case Done():
                    done = event
        response.status = "incomplete" if done.finish_reason == "length" else "completed"
        usage = done.usage
        response.usage = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        }
        response.extra = {"answered": done.answered, "degraded": done.degraded, "warnings": done.warnings}
        yield response.of_text("output_text.done", text=response.text, logprobs=[])
        yield response.of_text("content_part.done", part=response.part())
        yield response.event("output_item.done", output_index=0, item=response.item())
        yield response.event(response.status, response=response.body())
