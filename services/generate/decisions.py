"""POST /v1/systemone: questions about one state, answered with probabilities of the reply's first token.

A question is a chat that ends with its options, each with a label that is one token: yes and no, a letter or a digit.
The probability of a label is read from the engine by a grammar that allows nothing else, for its logprobs are those of
the model without the grammar. The prompts begin alike, with the state, so the prefix cache reads that once.
"""

import json
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request

from services.engines.generator.interface import Sampling, Structure
from services.errors import BadRequestError, EngineError, UnsupportedError
from services.generate.deltas import GenerationTask, TextRules, collect_choices
from services.generate.generator_model import GeneratorModel
from services.generate.prompt import LengthLimits, encode, render_chat
from services.generate.vocabulary import Vocabulary
from services.http.server import get_service, response_id
from services.protocol.chat import ChatFields, ChatMessage
from services.protocol.decision import Decision, DecisionRequest, DecisionUsage, Diagnostics, QuestionSpec
from services.protocol.pooling import refuse_priority

MAX_QUESTIONS = 64
READS_AT_ONCE = 8
"""Labels read together: a request of many leaves room for others."""
LABELS = {"noul": ("yes", "no"), "choice": tuple(string.ascii_uppercase), "score": tuple(string.digits)}
REPLY = {
    "noul": "Answer with yes or no only.",
    "choice": "Answer with the letter of one option only.",
    "score": "Answer with the number of one level only.",
}


@dataclass(frozen=True, slots=True)
class Question:
    type: str
    options: Sequence[str]
    """Names, in the order of the labels."""
    text: str
    """As the model reads it after the state."""

    @property
    def labels(self) -> Sequence[str]:
        return LABELS[self.type][: len(self.options)]


@dataclass(frozen=True, slots=True)
class Reading:
    """A question's prompt, and the token of each of its labels."""

    prompt: Sequence[int]
    label_ids: Sequence[int]


def decisions_router(model: GeneratorModel) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/systemone")
    async def create_structured_decision(request: Request, body: DecisionRequest) -> Decision:
        get_service(request).check_model(body.model, aliases=True)
        if lacking := {"logprobs", "structure"} - model.engine.features:
            raise UnsupportedError(
                "The model does not support the structured decision API: its engine does not have "
                f"{' and '.join(sorted(lacking))}."
            )
        questions = _questions(body)
        name = response_id("decision", request, body.request_id)
        readings = await model.read(request, lambda: [_reading(model, body, each) for each in questions.values()])
        logprobs, likeliest = await _read(model, name, readings)
        answers, diagnostics = {}, {}
        for key, reading, read, first in zip(questions, readings, logprobs, likeliest, strict=True):
            mass = sum(map(math.exp, read))
            answers[key] = _answer(questions[key], read)
            diagnostics[key] = Diagnostics(label_mass=mass, argmax_is_label=first in reading.label_ids)
        usage = DecisionUsage(input_tokens=sum(len(each.prompt) for each in readings), output_tokens=len(readings))
        return Decision(id=name, model=model.name, answers=answers, usage=usage, diagnostics=diagnostics)

    return router


def _questions(body: DecisionRequest) -> dict[str, Question]:
    """Raises BadRequestError in vLLM's words."""
    refuse_priority(body.priority)
    if kind := next((kind for kind in ("images", "audio", "videos") if getattr(body, kind)), None):
        raise BadRequestError(f"{kind} cannot be given: the model reads text only.", param=kind)
    if (body.chat_template_kwargs or {}).get("enable_thinking"):
        raise BadRequestError("a read is the reply's first token, so thinking must be off")
    if not body.questions:
        raise BadRequestError("questions: needs at least one question")
    if len(body.questions) > MAX_QUESTIONS:
        raise BadRequestError(f"questions: at most {MAX_QUESTIONS} for this model")
    return {key: _question(key, spec) for key, spec in body.questions.items()}


def _question(key: str, spec: QuestionSpec) -> Question:
    if spec.type not in LABELS:
        raise BadRequestError(f"unknown question type {spec.type!r}; supported: {sorted(LABELS)}")
    if spec.model_extra:
        raise BadRequestError(f"question {key!r}: unknown field(s) {sorted(spec.model_extra)}")
    described = _options(key, spec.type, spec.criteria)
    options = [name for name, _ in described]
    if len(set(options)) != len(options):
        raise BadRequestError(f"question {key!r}: duplicate option names")
    labels = LABELS[spec.type]
    if len(options) > len(labels):
        raise BadRequestError(f"question {key!r}: at most {len(labels)} options for this model")
    lines = [f"Question: {spec.instructions}"] if spec.instructions not in (None, "") else []
    for label, (name, description) in zip(labels, described, strict=False):
        shown = [*([] if spec.type == "noul" else [name]), *([] if description in (None, "") else [str(description)])]
        lines.append(f"{label}: {' - '.join(shown)}" if shown else label)
    return Question(spec.type, options, "\n".join([*lines, REPLY[spec.type]]))


def _options(key: str, kind: str, criteria: Any) -> list[tuple[str, Any]]:
    """Names and descriptions of the options."""
    if kind == "score":
        if not isinstance(criteria, list) or len(criteria) < 2:  # noqa: PLR2004 - one level measures nothing
            raise BadRequestError(f"question {key!r}: score criteria must be an ordered list of levels")
        return [(str(level), None) for level in criteria]
    if kind == "noul":
        if criteria is not None and (not isinstance(criteria, dict) or not criteria.keys() <= {"true", "false"}):
            raise BadRequestError(f"question {key!r}: noul criteria must be an object with true and false")
        return [(label, (criteria or {}).get(side)) for label, side in (("yes", "true"), ("no", "false"))]
    if not isinstance(criteria, dict) or not criteria:
        raise BadRequestError(f"question {key!r}: choice criteria must map option names to a description or null")
    return list(criteria.items())


def _reading(model: GeneratorModel, body: DecisionRequest, question: Question) -> Reading:
    """Blocking: renders and tokenizes. Raises BadRequestError, TooLargeError."""
    state = body.state if isinstance(body.state, str) else json.dumps(body.state, ensure_ascii=False)
    messages = [ChatMessage(role="user", content=f"{state}\n\n{question.text}")]
    if body.instructions:
        messages.insert(0, ChatMessage(role="system", content=body.instructions))
    chat = ChatFields(messages=messages, chat_template_kwargs=body.chat_template_kwargs)
    text = render_chat(model, chat, {"enable_thinking": False})
    prompt = encode(model, text, LengthLimits(output=1), special=False)
    return Reading(prompt, label_ids(model.vocabulary, prompt, question.labels))


def label_ids(vocabulary: Vocabulary, prompt: Sequence[int], labels: Sequence[str]) -> list[int]:
    """The token that each label is as the reply's first. Raises BadRequestError where one is not one token."""
    start = next((at for at in range(len(prompt), 0, -1) if prompt[at - 1] in vocabulary.added), 0)
    tail = list(prompt[start:])
    text, ids = vocabulary.decode(tail), list[int]()
    for label in labels:
        *before, last = vocabulary.encode(text + label, special=False)
        if before != tail or last in ids:
            raise BadRequestError(f"label {label!r} is not one distinct token after this model's chat prompt")
        ids.append(last)
    return ids


async def _read(
    model: GeneratorModel, name: str, readings: Sequence[Reading]
) -> tuple[list[list[float]], Sequence[int]]:
    """The logprob of each label of each question, and the likeliest token of each question."""
    prompts = [reading.prompt for reading in readings]
    first = await _next_tokens(model, name, prompts[:1], [None])  # the others find its state in the prefix cache
    first += await _next_tokens(model, name, prompts[1:], [None] * len(prompts[1:]))
    found = [{token: logprob} for token, logprob in first]
    left = [(at, i) for at, reading in enumerate(readings) for i in reading.label_ids if i not in found[at]]
    labels = [model.vocabulary.raw(wanted).decode() for _, wanted in left]
    forced = await _next_tokens(model, name, [prompts[at] for at, _ in left], labels)
    for (at, wanted), label, (token, logprob) in zip(left, labels, forced, strict=True):
        if token != wanted:  # a token that begins the label was likelier
            raise EngineError(f"the engine read {model.vocabulary.raw(token)!r} in place of the label {label!r}.")
        found[at][wanted] = logprob
    return [[found[at][i] for i in reading.label_ids] for at, reading in enumerate(readings)], [i for i, _ in first]


async def _next_tokens(
    model: GeneratorModel, name: str, prompts: Sequence[Sequence[int]], texts: Sequence[str | None]
) -> list[tuple[int, float]]:
    """The likeliest next token of each prompt and its logprob; only the one of `texts` is allowed, where it is set."""
    read: list[tuple[int, float]] = []
    for at in range(0, len(prompts), READS_AT_ONCE):
        part = slice(at, at + READS_AT_ONCE)
        samplings = [Sampling(max_tokens=1, temperature=0.0, logprobs=True, structure=_only(t)) for t in texts[part]]
        task = GenerationTask(name, prompts[part], samplings, TextRules(), sum(map(len, prompts[part])))
        read += [(done.token_ids[0], done.logprobs[0]) for done in await collect_choices(model, task)]
    return read


def _only(text: str | None) -> Structure | None:
    return None if text is None else Structure("grammar", f"root ::= {json.dumps(text)}")


def _answer(question: Question, logprobs: Sequence[float]) -> dict[str, Any]:
    """Probabilities are among the labels; `confidence` is the likeliest one's over the whole vocabulary."""
    best = max(range(len(logprobs)), key=logprobs.__getitem__)
    weights = [math.exp(each - logprobs[best]) for each in logprobs]
    probabilities = [weight / sum(weights) for weight in weights]
    answer: dict[str, Any] = {"type": question.type}
    names: Sequence[str] = question.options
    if question.type == "noul":
        answer["noul"] = probabilities[0]
    elif question.type == "choice":
        answer["choice"] = names[best]
    else:
        names = question.labels
        answer["score"] = sum(level * p for level, p in enumerate(probabilities))
        answer["legend"] = dict(zip(names, question.options, strict=True))
    answer["probabilities"] = dict(zip(names, probabilities, strict=True))
    return answer | {"confidence": math.exp(logprobs[best])}
