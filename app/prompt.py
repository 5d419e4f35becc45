"""The prompt: passages fenced as data, inside the generator's window."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.evidence import Evidence, in_passages
from app.passages import Passage
from app.settings import AskSettings
from app.trace import Trace
from services.client import GenerateClient, Message
from services.errors import BadRequestError, NotFoundError, TooLargeError
from services.settings import CONFIGS

_FENCE = re.compile(r"<(/?)(passage)\b", re.IGNORECASE)
_CHAT_TOKEN = re.compile(r"<\|(?=[^<>|]{1,40}\|>)|</?(?=s>|start_of_turn>|end_of_turn>)|\[(?=/?INST\])", re.IGNORECASE)
CHARS_PER_TOKEN = 3
"""Where nobody counts: few enough that the prompt is not over-filled."""
TURN_TOKENS = 16
"""What a chat template adds to a turn, at most."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    history: tuple[Message, ...]
    """Earlier turns, oldest first."""
    sampling: Mapping[str, Any]
    """max_tokens, and what else /v1/chat/completions takes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to the language model, and what it was made of."""

    question: str
    passages: list[Passage]
    messages: list[Message]
    sampling: dict[str, Any]


class PromptBuilder:
    """Renders configs/prompts/NAME.toml and fits it to the window of the model behind `generator`."""

    def __init__(self, settings: AskSettings, generator: GenerateClient) -> None:
        path = CONFIGS / "prompts" / f"{settings.prompt}.toml"
        if not path.is_file():
            raise BadRequestError(f"no prompt {settings.prompt!r}: {path.name} is not in configs/prompts")
        template = tomllib.loads(path.read_text())
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
        self._system = template["system"]
        self._user = environment.from_string(template["user"])
        self._settings = settings
        self._generator = generator

    async def build(
        self, question: Question, passages: Sequence[Passage], evidence: Sequence[Evidence], trace: Trace
    ) -> Prompt:
        """As many of the best passages as the window holds beside the answer; of each its evidence, where there is any.

        Raises TooLargeError where the question alone leaves no room for one.
        """
        with trace.stage("prompt"):
            window = (await self._generator.model(deadline=trace.deadline)).max_model_len
            answer_tokens = min(int(question.sampling["max_tokens"]), window // 2)
            budget = min(self._settings.context_tokens, window - answer_tokens)
            kept, texts = list(passages), in_passages(evidence)
            while True:
                messages = self._messages(question, kept, texts)
                tokens = await self._count(messages, budget, trace.deadline)
                if tokens <= budget:
                    sampling = {**question.sampling, "max_tokens": answer_tokens}
                    return Prompt(question.text, kept, messages, sampling)
                if len(kept) == 1:
                    raise TooLargeError(
                        f"question and best passage take {tokens} tokens, and the model's window leaves {budget} "
                        f"beside an answer of {answer_tokens}; ask a shorter question, or lower max_tokens"
                    )
                # the longer the overshoot, the more go at once
                kept = kept[: max(1, min(len(kept) - 1, len(kept) * budget // tokens))]

    def _messages(self, question: Question, passages: Sequence[Passage], evidence: dict[int, str]) -> list[Message]:
        quoted = [
            {"index": p.index, "heading": attribute(p.chunk.heading or p.chunk.title), "text": neutral(text)}
            for p in passages
            if (text := evidence.get(p.index) if evidence else p.chunk.text)
        ]
        user = self._user.render(passages=quoted, question=neutral(question.text))
        return [{"role": "system", "content": self._system}, *question.history, {"role": "user", "content": user}]

    async def _count(self, messages: Sequence[Message], budget: int, deadline: float) -> int:
        """Their tokens; or more, where even one a byte is within the budget and nobody has to be asked."""
        most = sum(len(str(message.get("content", "")).encode()) + TURN_TOKENS for message in messages)
        if most <= budget:
            return most
        try:
            return await self._generator.count(messages, deadline=deadline)
        except NotFoundError:  # an OpenAI-compatible server without /tokenize
            return sum(len(str(message.get("content", ""))) for message in messages) // CHARS_PER_TOKEN


def neutral(text: str) -> str:
    """Text that can close no fence and forge no chat turn: a zero-width space breaks up such markers."""
    return _CHAT_TOKEN.sub(lambda m: m[0][0] + "\u200b" + m[0][1:], _FENCE.sub("<\u200b\\1\\2", text))


def attribute(text: str) -> str:
    """Text for a quoted attribute: one line, no quotes or angle brackets."""
    return re.sub(r"[\"<>\s]+", " ", neutral(text)).strip()
