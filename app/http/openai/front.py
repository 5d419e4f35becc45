"""Reads an OpenAI request into a question, and tells clients where a source can be looked at."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from pydantic import ValidationError

from app.answer.citations import Citation
from app.answer.passages import Passage
from app.answer.pipeline import AnswerDone, Prepared
from app.http.openai.linked import Linked
from app.http.orchestrator import Orchestrator
from app.http.routes.ask import Asked
from app.http.schema import AskBody, ChatMessage, Done
from app.http.wire import done_out
from services.errors import BadRequestError, NotFoundError
from services.protocol.chat import ChatMessage as WireMessage

WITH_LINKS = "+sources"
"""After a model's name: the answer ends with links to its sources, for clients that read no others."""
LINKS_BEGIN = "\n\n**Sources**\n"
_ROLES = {"developer": "system", "system": "system", "user": "user"}
"""All others are the assistant's: what a tool said, it said."""
_MARKERS = re.compile(r" ?\[\d{1,3}\](?:\([^)\s]*\))?")


@dataclass(frozen=True, slots=True)
class Front:
    """Whom a request asks, and how its client shows sources."""

    model: str
    collection: str
    with_links: bool
    is_open_webui: bool
    """It takes an annotation for one more source, so it is sent none."""
    address: str
    """Of ragline, as browsers reach it, without a slash at its end."""

    def view(self, passage: Passage, start: int | None = None, end: int | None = None) -> str:
        """Return the address of the page that shows a passage, or the quote [start:end], in its document."""
        chunk = passage.chunk
        place = {"collection": self.collection, "start": start or chunk.start, "end": end or chunk.end}
        return f"{self.address}/documents/{quote(chunk.document_id, safe='')}/view#{urlencode(place)}"

    def links(self, passages: Sequence[Passage]) -> str:
        """Return the list of links at the end of an answer."""
        listed = [f"{p.index}. [{_escaped(name_of(p))}]({self.view(p)})" for p in passages]
        return LINKS_BEGIN + "\n".join(["", *listed]) if listed else ""


async def front_of(model: str | None, request: Request, here: Orchestrator) -> Front:
    """Raises NotFoundError for a model that is no collection."""
    name = model or await here.library.default()
    collection = name.removesuffix(WITH_LINKS)
    if collection not in await here.library.names():
        raise NotFoundError(f"there is no model {name!r}: GET /v1/models lists the collections", param="model")
    server = here.settings.server
    address = server.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}{server.root_path}"
    is_open_webui = any(header.startswith("x-openwebui-") for header in request.headers)
    return Front(name, collection, name.endswith(WITH_LINKS), is_open_webui, address.rstrip("/"))


def name_of(passage: Passage) -> str:
    """Return a passage's document and page, as a person would call it."""
    page = passage.page_at(passage.chunk.start)
    name = passage.chunk.title or passage.chunk.source or passage.chunk.document_id
    return f"{name}, p. {page}" if page else name


def annotation(citation: Citation, passages: Sequence[Passage], front: Front) -> tuple[str, dict[str, Any]]:
    """Return a citation as OpenAI's url_citation: its type, and its fields."""
    passage = passages[citation.index - 1]
    fields = {
        "url": front.view(passage, citation.quote_start, citation.quote_end),
        "title": name_of(passage),
        "start_index": citation.start,
        "end_index": citation.end,
    }
    return "url_citation", fields


def ask_body(messages: Sequence[WireMessage], front: Front, **fields: object) -> AskBody:
    """Return the conversation as /ask takes it. Raises BadRequestError.

    Turns without text (calls of tools) are left out, neighbours of one role joined, since chat templates want them in
    turn, and of earlier answers the markers, whose numbers meant other sources.
    """
    turns: list[ChatMessage] = []
    for each in messages:
        role, text = _ROLES.get(each.role, "assistant"), text_of(each)
        if role == "assistant":
            text = _MARKERS.sub("", text.partition(LINKS_BEGIN)[0])
        if turns and turns[-1].role == role:
            text = f"{turns.pop().content}\n\n{text}".strip()
        if text.strip():
            turns.append(ChatMessage(role=role, content=text))  # type: ignore[arg-type]  # one of the three
    try:
        return AskBody(messages=turns, collection=front.collection, **fields)  # type: ignore[arg-type]  # checked there
    except ValidationError as exc:
        raise BadRequestError(exc.errors()[0]["msg"].removeprefix("Value error, "), param="messages") from exc


async def spoken(
    prepared: Prepared, asked: Asked, front: Front, here: Orchestrator
) -> AsyncGenerator[str | Citation | Done]:
    """Yield an answer's text, with links where its client shows no sources, its citations, and its end."""
    passages = prepared.passages if front.with_links else []
    linked = Linked({passage.index: front.view(passage) for passage in passages})
    async for event in here.pipeline.answer(prepared, asked.trace):
        match event:
            case str():
                if text := linked.feed(event):
                    yield text
            case Citation():
                yield event
            case AnswerDone():
                done = done_out(event, asked.trace, here)
    if text := linked.finish() + front.links(passages):
        yield text
    yield done


async def drained(events: AsyncGenerator[Any]) -> None:
    """Read events to their end, for an answer that is sent whole."""
    async with aclosing(events):
        async for _ in events:
            pass


def text_of(message: WireMessage) -> str:
    """Return a message's text; parts that are no text (pictures, sound) cannot be read and are refused."""
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    texts = []
    for part in message.content:
        if isinstance(part, str):
            texts.append(part)
        elif part.type in (None, "text", "input_text", "output_text"):
            texts.append(part.text or "")
        else:
            raise BadRequestError(f"messages hold a part of type {part.type!r}; only text is read", param="messages")
    return "\n".join(texts)


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]\\])", r"\\\1", " ".join(text.split()))
