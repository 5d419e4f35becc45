"""Checks claims against the documents: each is searched for, and verified against the passages found."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from app.answer.citations import premise, verify_against
from app.answer.languages import language_of
from app.answer.passages import Passage, Query
from app.answer.pipeline import Pipeline
from app.answer.segments import is_fence, leans, line_start, sentences
from app.answer.trace import Trace
from app.answer.verdict import NOTHING, Verdict
from app.answer.verify import verify


@dataclass(frozen=True, slots=True)
class Claim:
    """The sentence text[start:end]; `query` has the one before it, too, where it leans on that."""

    text: str
    start: int
    end: int
    query: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text says of a claim: text[verdict.start:verdict.end] is the quote."""

    verdict: Verdict
    passage: Passage | None
    """The passage whose text it is; None: nothing was found, or the text was given."""
    text: str


def claims_of(text: str) -> list[Claim]:
    """Return the sentences of a text; its headings, and what stands in code fences, claim nothing."""
    code = language_of(text)
    found: list[Claim] = []
    in_fence = False
    for start, end in sentences(text):
        line = text[line_start(text, start) : end].lstrip()
        ends = is_fence(line)
        in_fence ^= ends
        if ends or in_fence or line.startswith("#"):
            continue
        claim = text[start:end]
        before = f"{found[-1].text} " if found and leans(claim, code) else ""
        found.append(Claim(claim, start, end, before + claim))
    return found


async def check(pipeline: Pipeline, claim: str, sources: Sequence[Passage] | str, trace: Trace) -> Checked:
    """Return what passages, or a text that was given, say of a claim."""
    with trace.stage("verify"):
        found = await asyncio.to_thread(_checked, claim, sources)
    if pipeline.entailment is not None:
        verdicts = await pipeline.entailment.settle(claim, [(_premise(each), each.verdict) for each in found], trace)
        found = [replace(each, verdict=verdict) for each, verdict in zip(found, verdicts, strict=True)]
    return max(found, key=lambda each: each.verdict.weight, default=Checked(NOTHING, None, ""))


async def check_each(pipeline: Pipeline, claims: Sequence[Claim], query: Query, trace: Trace) -> AsyncIterator[Checked]:
    """Yield what the documents say of each claim; `query` says where to search, and how far."""
    found = pipeline.retrieve_each([replace(query, text=claim.query) for claim in claims], trace)
    for claim in claims:
        yield await check(pipeline, claim.text, await anext(found), trace)


def _checked(claim: str, sources: Sequence[Passage] | str) -> list[Checked]:
    if isinstance(sources, str):
        return [Checked(verify(claim, sources), None, sources)]
    return [Checked(verify_against(claim, each), each, each.chunk.text) for each in sources]


def _premise(checked: Checked) -> str:
    verdict = checked.verdict
    return premise(checked.passage, verdict) if checked.passage else checked.text[verdict.start : verdict.end]
