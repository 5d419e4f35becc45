"""What chat clients ask of the model for themselves: a title, tags, next questions; no documents are searched for it.

A small generator gives broken JSON there, so on profiles that quote evidence the answer is made of the conversation.
"""

import json
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app.http.openai.front import text_of
from app.http.orchestrator import Orchestrator
from services.client import Message
from services.protocol.chat import ChatMessage, ChatRequest

TITLE_WORDS = 5
TASK_TOKENS = 200
TITLE_TOKENS = 100
"""A client that asks for a title in its own words leaves room for no more."""
_TASK = re.compile(r"\s*### Task:")
_PARTS = re.compile(r"<chat_history>|### Output:")
_OWN_WORDS = re.compile(r"(?s)\btitle\b.*\b(?:conversation|chat)\b|\b(?:conversation|chat)\b.*\btitle\b")
_KINDS = (
    ("follow_ups", re.compile(r"follow[_ -]?ups?", re.IGNORECASE)),
    ("tags", re.compile(r"\btags\b", re.IGNORECASE)),
    ("queries", re.compile(r"\bquer(?:y|ies)\b", re.IGNORECASE)),
    ("text", re.compile(r"autocompletion", re.IGNORECASE)),
    ("title", re.compile(r"\btitle\b", re.IGNORECASE)),
)
"""By the first line of the task; the name is the key of the JSON that is asked for."""
_ASKED = re.compile(r"(?:^|\n)\s*(?:USER|User|Human|user): *(.+)")


@dataclass(frozen=True, slots=True)
class Task:
    kind: str
    """follow_ups, tags, queries, text (autocompletion), title, or "" for another."""
    conversation: str
    is_json: bool

    async def answer(self, body: ChatRequest, here: Orchestrator) -> str:
        if not here.settings.ask.evidence_sentences:
            messages: list[Message] = [{"role": m.role, "content": text_of(m)} for m in body.messages]
            limit = body.max_tokens or body.max_completion_tokens or TASK_TOKENS
            written = here.pipeline.generator.stream(messages, max_tokens=limit, temperature=0.0)
            async with aclosing(written) as deltas:
                return "".join([delta.text async for delta in deltas])
        title = " ".join(self._first_question().split()[:TITLE_WORDS])
        if not self.is_json:
            return title
        values = {"title": title, "text": ""}
        return json.dumps({self.kind: values.get(self.kind, [])} if self.kind else {}, ensure_ascii=False)

    def _first_question(self) -> str:
        found = _ASKED.search(self.conversation)
        return found[1].strip() if found else ""


def task_of(messages: Sequence[ChatMessage], max_tokens: int | None) -> Task | None:
    """Return the chore that a chat client asks for, by Open WebUI's form or LibreChat's and LobeChat's; else None."""
    if not messages:
        return None
    texts = [text_of(message) for message in messages]
    if _TASK.match(texts[-1]) and _PARTS.search(texts[-1]):
        asked = texts[-1].partition("### Task:")[2].strip().partition("\n")[0]
        kind = next((name for name, pattern in _KINDS if pattern.search(asked)), "")
        conversation = texts[-1].partition("<chat_history>")[2]
        return Task(kind, conversation, is_json=True)
    if max_tokens and max_tokens <= TITLE_TOKENS and any(_OWN_WORDS.search(text) for text in (texts[0], texts[-1])):
        return Task("title", "\n".join(texts), is_json=False)
    return None
