"""Answers a question: embed, search, rerank, pick evidence, prompt, generate, cite.

A stage whose service fails, or takes more than its share of the time, is skipped and named in `degraded`: no embedder
-> BM25 alone, no cross-encoder -> the fused order, no generator -> passages without an answer.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.answer.answerability import Answerability, features, missing_names, sigmoid
from app.answer.breaker import Breaker
from app.answer.citations import Citation, CitationChecker
from app.answer.codes import as_written, codes_asked, codes_in, is_of_another
from app.answer.denial import DenialFilter
from app.answer.entailment import Entailment
from app.answer.evidence import Evidence, quote, select_evidence
from app.answer.languages import answer_in, is_latin, language_of
from app.answer.neighbours import join
from app.answer.passages import Candidate, Fused, Passage, Query, best_first, fuse
from app.answer.prompt import CHARS_PER_TOKEN, Prompt, PromptBuilder, Question
from app.answer.trace import Trace
from app.documents.library import Library
from app.settings import AskSettings
from indexing.document import Hit, passage
from services.client import Delta, EmbedClient, GenerateClient, ScoreClient, ServiceClient, Usage
from services.errors import DeadlineError

Vectors = Sequence[NDArray[np.float32]]
NO_USAGE = Usage(0, 0)
MARKERS = re.compile(r" \[\d+\]")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What retrieval gave for a question, and the prompt made of it."""

    question: str
    passages: list[Passage]
    evidence: list[Evidence]
    prompt: Prompt | None
    searched_for: str | None = None
    """What was searched for where that is not the question."""
    answerability: float | None = None
    """The probability that the passages answer; None: no cross-encoder read them, or its scale is not known."""
    missing: tuple[str, ...] = ()
    """What of the question no passage has."""
    refused: bool = False
    """The passages are too unlikely to answer, or about others of a kind, as P-17 for P-99."""


Outcome = Literal["answered", "partial", "not_found"]


@dataclass(frozen=True, slots=True)
class AnswerDone:
    answered: bool
    finish_reason: str
    usage: Usage
    outcome: Outcome | None = None
    """partial: the documents do not answer all of the question; None: a service that failed left no answer."""
    answerability: float | None = None
    missing: tuple[str, ...] = ()
    """Both as prepared."""

    @property
    def form(self) -> Literal["quoted", "worded"] | None:
        """Whether it is of the passages' sentences or of the model's; None where it answers nothing."""
        if not self.answered:
            return None
        return "quoted" if self.finish_reason == "quoted" else "worded"


AnswerEvent = str | Citation | AnswerDone
"""A piece of the answer, a citation in what was written so far, the end."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    settings: AskSettings
    library: Library
    embedder: EmbedClient
    scorer: ScoreClient
    generator: GenerateClient
    prompts: PromptBuilder
    breakers: Mapping[str, Breaker]
    """By the service's role."""
    answerability: Answerability | None = None
    entailment: Entailment | None = None

    async def prepare(self, query: Query, question: Question, trace: Trace) -> Prepared:
        """Retrieve the passages and build the prompt: everything before generation."""
        return await self.ground(query, question, await self.retrieve(query, trace), trace)

    async def ground(self, query: Query, question: Question, passages: list[Passage], trace: Trace) -> Prepared:
        """Pick the evidence in the passages and build the prompt."""
        passages = await self._join_neighbours(query, passages)
        searched_for = query.text if query.text != question.text else None
        if other := _asked_for_others(query.text, passages):
            trace.warnings.append(f"search: no passage is about {other}")
            return Prepared(question.text, passages, [], None, searched_for, 0.0, (other,), refused=True)
        answerability = self._answerability(question.text, passages, trace.logits)
        missing = _missing(question.text, passages)
        if not passages or self._refuses(answerability):
            return Prepared(question.text, passages, [], None, searched_for, answerability, missing, refused=True)
        evidence = await self._select_evidence(query, passages, trace)
        prompt = await self._build_prompt(question, passages, evidence, trace)
        return Prepared(question.text, passages, evidence, prompt, searched_for, answerability, missing)

    def _answerability(
        self, question: str, passages: Sequence[Passage], logits: NDArray[np.float32] | None
    ) -> float | None:
        """Return the probability that the passages answer; None without logits, or a model for them.

        A server that gives probabilities, whatever it is asked for, has none of them outside 0 to 1.
        """
        if self.answerability is None or logits is None or not passages or ((logits >= 0) & (logits <= 1)).all():
            return None
        best = max(passages, key=lambda each: float("-inf") if each.logit is None else each.logit)
        text = passage(best.chunk.heading, best.chunk.text)
        return self.answerability.probability(features(question, logits, text, self.answerability.floor))

    def _refuses(self, answerability: float | None) -> bool:
        if answerability is None or self.answerability is None:
            return False
        least = self.settings.min_answerability
        return answerability < (self.answerability.threshold if least is None else least)

    async def retrieve(self, query: Query, trace: Trace) -> list[Passage]:
        """Return the top_n passages, best first; [] where none reaches `min_score`."""
        vectors, sparse = await asyncio.gather(
            self._embed(query.collection, query.forms, trace), self._search_sparse(query)
        )
        return await self._passages(query, vectors, sparse, trace)

    async def retrieve_each(self, queries: Sequence[Query], trace: Trace) -> AsyncIterator[list[Passage]]:
        """Yield the passages for each query; all are of one collection, and embedded together."""
        vectors = await self._embed(queries[0].collection, [query.text for query in queries], trace)
        for index, query in enumerate(queries):
            yield await self._passages(query, vectors[index : index + 1], await self._search_sparse(query), trace)

    async def _passages(
        self, query: Query, vectors: Vectors, sparse: Sequence[Sequence[Hit]], trace: Trace
    ) -> list[Passage]:
        candidates = await self._search(query, vectors, sparse, trace)
        if not candidates:
            await self.library.check_not_empty(query.collection)
        logits = await self._rerank(query, candidates[: query.rerank_depth], trace)
        trace.logits = logits
        ordered = _in_order(candidates, logits)
        trace.rankings["reranked"] = [(candidate.chunk.id, score) for candidate, _, score in ordered]
        kept = [entry for entry in ordered if logits is None or entry[2] >= (query.min_score or 0)][: query.top_n]
        pages = await self.library.pages(query.collection, {candidate.chunk.document_id for candidate, _, _ in kept})
        return [
            Passage(index, each.chunk, each.hit, each.rank, logit, score, pages[each.chunk.document_id])
            for index, (each, logit, score) in enumerate(kept, start=1)
        ]

    async def _join_neighbours(self, query: Query, passages: list[Passage]) -> list[Passage]:
        """Join passages that are adjacent in a document, where the prompt quotes whole passages."""
        if self.settings.evidence_sentences or len(passages) < 2:  # noqa: PLR2004
            return passages
        return await join(self.library, query.collection, passages, self.settings.context_tokens // 2 * CHARS_PER_TOKEN)

    async def _select_evidence(self, query: Query, passages: Sequence[Passage], trace: Trace) -> list[Evidence]:
        """Return the `evidence_sentences` sentences that the cross-encoder ranks first."""
        count = self.settings.evidence_sentences
        if count and passages:
            with trace.optional("evidence"):
                async with self.breakers["score"].guard(allowed=1):  # not after a rerank that failed just now
                    deadline = trace.deadline_of("evidence")
                    return await select_evidence(self.scorer, query.text, passages, count, deadline)
        return []

    async def _build_prompt(
        self, question: Question, passages: Sequence[Passage], evidence: Sequence[Evidence], trace: Trace
    ) -> Prompt | None:
        """Return the prompt; None without passages, or where the generate service fails."""
        if passages:
            with trace.optional("generate"):
                async with self.breakers["generate"].guard(resets=False):  # a short prompt is built without the service
                    return await self.prompts.build(question, passages, evidence, trace)
        return None

    async def answer(self, prepared: Prepared, trace: Trace) -> AsyncIterator[AnswerEvent]:
        """Yield the answer piece by piece, and each citation once its sentence is complete.

        Where there is evidence, it is the answer, unless the model words a better one that is verified.
        """
        language = language_of(prepared.question)
        finish = "not_found" if prepared.refused else "error"
        done = AnswerDone(answered=False, finish_reason=finish, usage=NO_USAGE)
        if prepared.prompt is not None:
            written = self._generate(prepared.prompt, trace)
            if prepared.evidence:
                asked = prepared.searched_for or prepared.question
                written = self._best(asked, prepared.evidence, written, trace)
            async for event in written:
                if isinstance(event, AnswerDone):
                    done = event
                else:
                    yield event
        if not done.answered and prepared.evidence:
            for event in quote(prepared.evidence):
                yield event
            done = AnswerDone(answered=True, finish_reason="quoted", usage=done.usage)
        outcome, said = _outcome(done, prepared, language, has_failed="generate" in trace.degraded)
        if said:
            yield said
        yield replace(done, outcome=outcome, answerability=prepared.answerability, missing=prepared.missing)

    async def _best(
        self, question: str, evidence: Sequence[Evidence], written: AsyncIterator[AnswerEvent], trace: Trace
    ) -> AsyncIterator[AnswerEvent]:
        """Yield what the model wrote where all of it is verified, and answers better than the evidence does.

        The cross-encoder judges. Otherwise yield an AnswerDone that is not answered.
        """
        *events, done = [event async for event in written]
        assert isinstance(done, AnswerDone)  # noqa: S101 - _generate ends so
        answer = MARKERS.sub("", "".join(event for event in events if isinstance(event, str)))
        if answer and all(event.verified for event in events if isinstance(event, Citation)):
            with trace.optional("evidence"):
                async with self.breakers["score"].guard():
                    texts = [answer, " ".join(each.said for each in evidence)]
                    wrote, said = await self.scorer.score(question, texts, deadline=trace.deadline_of("evidence"))
                if wrote > said:
                    for event in events:
                        yield event
                    yield done
                    return
        yield replace(done, answered=False)

    async def _generate(self, prompt: Prompt, trace: Trace) -> AsyncIterator[AnswerEvent]:
        """Yield what the model writes with checked citations; under strict grounding only what the passages support."""
        settle = partial(self.entailment.settle, trace=trace) if self.entailment else None
        checker = CitationChecker(prompt.passages, prompt.question, self.settings.grounding, settle)
        denial = DenialFilter()
        finish, usage = "error", NO_USAGE
        with trace.optional("generate"):
            async with aclosing(self._deltas(prompt, trace)) as deltas:
                async for delta in deltas:
                    trace.mark("ttft")
                    finish, usage = delta.finish_reason or finish, delta.usage or usage
                    for event in await checker.feed(denial.feed(delta.text)):
                        yield event
                    if checker.left_passages:
                        finish = "left_passages"
                    if checker.left_passages or denial.denied:
                        break
        for event in (*await checker.feed(denial.finish()), *await checker.finish()):
            yield event
        if denial.denied:
            finish = "not_found"
        yield AnswerDone(bool(checker.answer), finish, usage, "partial" if denial.denied_more else None)

    async def _deltas(self, prompt: Prompt, trace: Trace) -> AsyncGenerator[Delta]:
        """Yield what the model writes. Raises DeadlineError where it does not begin within its share of the time."""
        stream = self.generator.stream(prompt.messages, deadline=trace.deadline, **prompt.sampling)
        async with aclosing(stream):
            async with self.breakers["generate"].guard():
                first_by = trace.deadline_of("first_token") - time.monotonic()
                try:
                    async with asyncio.timeout(first_by):
                        first = await anext(stream, None)
                except TimeoutError as exc:
                    raise DeadlineError(f"the generate service wrote nothing within {first_by:.1f} s") from exc
            if first is not None:
                yield first
            async for delta in stream:
                yield delta

    async def _embed(self, collection: str, texts: Sequence[str], trace: Trace) -> Vectors:
        """Return the vector of each text; [] where the embed service fails, or its model does not know their script."""
        if not _knows(self.embedder, " ".join(texts), trace):
            return []
        with trace.optional("embed"):
            async with self.breakers["embed"].guard():
                deadline = trace.deadline_of("embed")
                model = await self.embedder.model(deadline=deadline)
                await self.library.check_model(collection, model.id, self.embedder.prefix("query"))
                return list(await self.embedder.embed(texts, input_type="query", deadline=deadline))
        return []

    async def _search_sparse(self, query: Query) -> list[list[Hit]]:
        """Return the hits of each form of the query."""
        search = self.library.search_sparse
        return await asyncio.gather(*(search(query.collection, t, query.top_k, query.filters) for t in query.forms))

    async def _search(
        self, query: Query, vectors: Vectors, sparse: Sequence[Sequence[Hit]], trace: Trace
    ) -> list[Candidate]:
        """Return distinct candidates of all searches in fused order, as many as the rerank reads."""
        with trace.stage("search"):
            search = self.library.search_dense
            dense = await asyncio.gather(*(search(query.collection, v, query.top_k, query.filters) for v in vectors))
            fused = fuse(dense, sparse, query.top_k)
            for name, rankings in (("dense", dense), ("bm25", sparse)):  # of the first form of the query
                trace.rankings[name] = [(hit.chunk_id, hit.score) for hit in rankings[0]] if rankings else []
            trace.rankings["fused"] = [(each.chunk_id, each.score) for each in fused]
            return await self._distinct(query, fused, max(query.rerank_depth, query.top_n))

    async def _distinct(self, query: Query, fused: Sequence[Fused], count: int) -> list[Candidate]:
        """Return the first `count` candidates whose texts differ: a copy adds nothing to a prompt."""
        found: dict[str, Candidate] = {}
        left = iter(fused)
        while hits := list(islice(left, count - len(found))):
            chunks = {
                chunk.id: chunk for chunk in await self.library.chunks(query.collection, [h.chunk_id for h in hits])
            }
            for hit in hits:
                if (chunk := chunks.get(hit.chunk_id)) is not None:
                    found.setdefault(chunk.text, Candidate(chunk, hit, rank=len(found) + 1))
        return list(found.values())

    async def _rerank(self, query: Query, candidates: Sequence[Candidate], trace: Trace) -> NDArray[np.float32] | None:
        """Return the logits (n,) of the candidates; None where the rerank is off or its service fails."""
        if not candidates or not _knows(self.scorer, query.text, trace):
            return None
        with trace.optional("rerank"):
            texts = [passage(candidate.chunk.heading, candidate.chunk.text) for candidate in candidates]
            async with self.breakers["score"].guard():
                return await self.scorer.score(query.text, texts, deadline=trace.deadline_of("rerank"))
        return None


def _in_order(
    candidates: Sequence[Candidate], logits: NDArray[np.float32] | None
) -> Sequence[tuple[Candidate, float | None, float]]:
    """Return the candidates best first, with logit and score; without logits in fused order."""
    if logits is None:
        return [(candidate, None, candidate.hit.score) for candidate in candidates]
    order = best_first(candidates, logits)
    return [(candidates[i], float(logits[i]), sigmoid(float(logits[i]))) for i in order]


def _knows(client: ServiceClient, text: str, trace: Trace) -> bool:
    """Return False, with a warning, for a text in another script than Latin where the model is one of English alone."""
    preset = client.endpoint.preset
    if preset is None or preset.multilingual or is_latin(text):
        return True
    trace.warnings.append(f"{client.role}: {preset.name} does not know the script of the question, and was not asked")
    return False


def _asked_for_others(question: str, passages: Sequence[Passage]) -> str:
    """Return the numbered names of a question, where the passages hold others of their kinds and none of them."""
    text = "\n".join(f"{each.chunk.title}\n{each.chunk.heading}\n{each.chunk.text}" for each in passages)
    asked = codes_asked(question, codes_in(text))
    return as_written(question, asked) if is_of_another(text, asked) else ""


def _outcome(
    done: AnswerDone, prepared: Prepared, language_code: str, *, has_failed: bool
) -> tuple[Outcome | None, str]:
    """Return how an answer came out, and the sentence that is to follow it, or to stand in its place; "": none."""
    if done.answered and prepared.missing:
        return "partial", "\n\n" + answer_in(language_code, "partial").format(missing=", ".join(prepared.missing))
    if done.answered:
        return done.outcome or "answered", ""
    if has_failed:
        return None, answer_in(language_code, "no_generator")
    name = "not_found" if done.finish_reason == "not_found" else "ungrounded"
    return "not_found", answer_in(language_code, name)


def _missing(question: str, passages: Sequence[Passage]) -> tuple[str, ...]:
    """Return the names and numbers of a question that no passage has, nor its title."""
    texts = [f"{each.chunk.title}\n{passage(each.chunk.heading, each.chunk.text)}" for each in passages]
    return missing_names(question, texts)
