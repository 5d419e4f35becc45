"""Builds the prompt: neutralises the passages, which are data, and fits them to the generator's window."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.answer.citations import without_markers
from app.answer.evidence import Evidence, by_passage
from app.answer.passages import Passage
from app.answer.trace import Trace
from app.settings import AskSettings
from services import CONFIGS
from services.client import GenerateClient, Message
from services.errors import BadRequestError, DeadlineError, NotFoundError, TooLargeError, UnavailableError

_RESERVED = re.compile(
    r"""<(?=(?i:
        \s*/?\s*passage\b                                         # our own fence
        | [|\uff5c][^<>]{1,60}[|\uff5c]>                          # <|im_start|>; DeepSeek's bars are full-width
        | \s*/?\s*(?:(?:start|end|begin|tool|function|extra|fim|image|reserved)_\w+ | unused\d+)\s*>    # </tool_call>
        | \s*/?\s*(?:s|bos|eos|pad|unk|cls|sep|mask|think|tools?|function|system|user|assistant|image)\s*>
        | </?sys>>                                                # Llama 2
    ))
    | \[(?=\s*/?\s*(?:(?i:inst)|[gs]MASK|[A-Z][A-Z_]{2,})\s*\])    # [INST], [TOOL_CALLS]; any word in capitals""",
    re.VERBOSE,
)
"""Begins what is a fence of the prompt, or a special token of a model: the forms that the known chat templates use."""
CHARS_PER_TOKEN = 3
"""An estimate for servers that do not count tokens; low, so that the prompt is not over-filled."""
TURN_TOKENS = 16
"""Tokens that a chat template adds to a turn, at most."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    history: tuple[Message, ...]
    """Earlier turns, oldest first."""
    sampling: Mapping[str, Any]
    """max_tokens and further parameters of /v1/chat/completions."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages for the language model, with the question and passages that they hold."""

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
        """Build the prompt, leaving room for the answer; drop the oldest turns first, then the last passages.

        A passage with evidence is quoted by it alone. Raises TooLargeError where not even one passage fits.
        """
        with trace.stage("prompt"):
            deadline = trace.deadline_of("prompt")
            window = (await self._generator.model(deadline=deadline)).max_model_len
            tokens_of_model = await self._added_tokens(deadline)
            answer_tokens = min(int(question.sampling["max_tokens"]), window // 2)
            budget = min(self._settings.context_tokens, window - answer_tokens)
            texts = by_passage(evidence) or {passage.index: passage.chunk.text for passage in passages}
            shown = [passage for passage in passages if passage.index in texts]
            turns = list(question.history)
            while True:
                messages = self._messages(question.text, turns, shown, texts, tokens_of_model)
                tokens = await self._count(messages, budget, deadline)
                if tokens <= budget:
                    break
                # the longer the overshoot, the more goes at once
                if len(recent := _recent(turns, (1 - budget / tokens) * _chars(messages))) < len(turns):
                    turns = recent
                elif len(shown) > 1:
                    shown = shown[: max(1, min(len(shown) - 1, len(shown) * budget // tokens))]
                else:
                    raise TooLargeError(
                        f"question and best passage take {tokens} tokens, and the model's window leaves {budget} "
                        f"beside an answer of {answer_tokens}; ask a shorter question, or lower max_tokens"
                    )
            if left_out := len(question.history) - len(turns):
                trace.warnings.append(
                    f"prompt: the conversation's first {left_out} messages have no room in the window"
                )
            sampling = {**question.sampling, "max_tokens": answer_tokens}
            return Prompt(question.text, list(passages) if evidence else shown, messages, sampling)

    def _messages(
        self,
        question: str,
        turns: Sequence[Message],
        passages: Sequence[Passage],
        texts: Mapping[int, str],
        tokens: frozenset[str],
    ) -> list[Message]:
        quoted = [
            {
                "index": p.index,
                "heading": attribute(p.chunk.heading or p.chunk.title, tokens),
                "text": without_markers(neutral(texts[p.index], tokens)),
            }
            for p in passages
        ]
        user = self._user.render(passages=quoted, question=neutral(question, tokens))
        turns = [{**turn, "content": neutral(str(turn.get("content")), tokens)} for turn in turns]  # it may quote
        # one system message, the first: the templates of Gemma and Mistral refuse a second
        system = [turn["content"] for turn in turns if turn["role"] == "system"]
        spoken = [turn for turn in turns if turn["role"] != "system"]
        first: Message = {"role": "system", "content": "\n\n".join([self._system, *system])}
        return [first, *spoken, {"role": "user", "content": user}]

    async def _added_tokens(self, deadline: float) -> frozenset[str]:
        try:
            return await self._generator.added_tokens(deadline=deadline)
        except (UnavailableError, DeadlineError):  # a short prompt is built without the service
            return frozenset()

    async def _count(self, messages: Sequence[Message], budget: int, deadline: float) -> int:
        """Return the tokens of the messages; an upper bound (one a byte) where that is already within the budget."""
        upper_bound = sum(len(str(message.get("content", "")).encode()) + TURN_TOKENS for message in messages)
        if upper_bound <= budget:
            return upper_bound
        try:
            return await self._generator.count(messages, deadline=deadline)
        except NotFoundError:  # an OpenAI-compatible server without /tokenize
            return _chars(messages) // CHARS_PER_TOKEN


def _chars(messages: Sequence[Message]) -> int:
    return sum(len(str(message.get("content", ""))) for message in messages)


def _recent(turns: Sequence[Message], chars: float) -> list[Message]:
    """Drop the oldest turns, at least `chars` of them, up to the next question; system messages stay."""
    system = [turn for turn in turns if turn["role"] == "system"]
    spoken = [turn for turn in turns if turn["role"] != "system"]
    while spoken and (chars > 0 or spoken[0]["role"] == "assistant"):
        chars -= _chars([spoken.pop(0)])
    return [*system, *spoken]


def neutral(text: str, tokens: frozenset[str] = frozenset()) -> str:
    """Break fence tags and special tokens in a text with a zero-width space: the known forms, and the model's own."""
    text = _RESERVED.sub(lambda m: m[0] + "\u200b", text)
    return _any_of(tokens).sub(lambda m: f"{m[0][0]}\u200b{m[0][1:]}", text) if tokens else text


@cache
def _any_of(tokens: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))


def attribute(text: str, tokens: frozenset[str] = frozenset()) -> str:
    """Neutralise a text for a quoted attribute: one line, no quotes or angle brackets."""
    return re.sub(r"[\"<>\s]+", " ", neutral(text, tokens)).strip()
