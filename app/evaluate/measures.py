"""What is measured of the answers; each figure with how many questions it is of, and a 95 % bootstrap interval.

Retrieval is measured by ir-measures over documents: a document stands where its first chunk does.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ir_measures
import numpy as np
from ir_measures import AP, RR, R, nDCG
from numpy.typing import NDArray

from app.answer.terms import terms
from app.answer.verify import verify
from app.evaluate.datasets import Case
from app.evaluate.mutations import FALSE, Claim
from app.evaluate.run import CANARY, RANKINGS, SEED, Record
from indexing.store.jobs import Job

Floats = NDArray[np.float64]
Values = Mapping[str, float]
"""A value by question."""

LOST_AT = ("search", "fusion", "rerank", "refusal", "answer")
"""The stages that can fail a question, in their order."""
SHORT_ANSWER = 10
"""Words; an answer that says a longer one need not say it word for word."""
_RESAMPLES = 1000
_MARKER = re.compile(r"\s?\[\d{1,3}\]")
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
"""A word, or a character of a script that puts no spaces between words."""


@dataclass(frozen=True, slots=True)
class Measure:
    stage: str
    row: str
    value: float
    low: float | None
    """Of the 95 % interval; None for a figure of one run."""
    high: float | None
    n: int
    column: str = ""
    """Of several figures in a row, which this is."""
    unit: str = ""
    higher_is_better: bool | None = True
    """None: a figure that tells no quality."""
    questions: Values = field(default_factory=dict)
    """The values whose mean it is; {} where it is none."""

    @property
    def name(self) -> str:
        return f"{self.row} {self.column}".rstrip()


Measures = Iterator[Measure]


def interval(statistic: Callable[..., float], *columns: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic over the rows of the columns, drawn with replacement."""
    dice, n = np.random.default_rng(SEED), len(columns[0])
    drawn = (dice.integers(n, size=n) for _ in range(_RESAMPLES))
    values = np.array([statistic(*(column[rows] for column in columns)) for rows in drawn])
    values = values[~np.isnan(values)]
    low, high = np.percentile(values, (2.5, 97.5)) if len(values) else (math.nan, math.nan)
    return float(low), float(high)


def figure(stage: str, row: str, statistic: Callable[..., float], *columns: Floats, **fields: Any) -> Measure:
    """A statistic of the questions, with its interval."""
    low, high = interval(statistic, *columns)
    return Measure(stage, row, float(statistic(*columns)), low, high, len(columns[0]), **fields)


def mean_of(stage: str, row: str, values: Values, **fields: Any) -> Measures:
    """Yield the mean by question, or nothing without values."""
    if values:
        yield figure(stage, row, np.mean, np.array(list(values.values())), questions=values, **fields)


def retrieval(cases: Sequence[Case], asked: Mapping[str, Record]) -> Measures:
    """Recall of each search, and what is ranked high after each stage."""
    judged = _judged(cases, asked)
    for measure, stages in ((R @ 100, RANKINGS[:3]), (nDCG @ 10, RANKINGS), (RR, RANKINGS), (R @ 5, RANKINGS)):
        row = {RR: "MRR", R @ 100: "recall@100", R @ 5: "recall@5"}.get(measure, str(measure))
        for stage in stages:
            yield from mean_of("retrieval", row, ranked(measure, judged, _runs(judged, asked, stage)), column=stage)


def ranked(measure: ir_measures.Measure, judged: Sequence[Case], runs: Mapping[str, Sequence[str]]) -> Values:
    """The measure by question, of documents best first; 0 where there are none."""
    grades = {case.id: {name: math.ceil(grade) for name, grade in case.relevant.items()} for case in judged}
    scores = {key: {name: float(len(run) - i) for i, name in enumerate(run)} for key, run in runs.items() if run}
    found = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], grades, scores)}
    return {case.id: float(found.get(case.id, 0.0)) for case in judged}


def _runs(judged: Sequence[Case], records: Mapping[str, Record], stage: str) -> dict[str, list[str]]:
    """The documents after a stage by question, best first."""
    return {case.id: [name for name, _ in records[case.id].rankings.get(stage, ())] for case in judged}


def _judged(cases: Iterable[Case], records: Mapping[str, Record]) -> list[Case]:
    return [case for case in cases if case.relevant and case.id in records and case.answerable is not False]


def lost_at(case: Case, record: Record, *, generates: bool) -> str:
    """The stage of LOST_AT that failed a question that the documents answer; "" where none did."""
    if case.relevant:
        stages = {**record.rankings, "passages": record.passages}
        found = {stage for stage, ranking in stages.items() if any(name in case.relevant for name, _ in ranking)}
        if not found & {"dense", "bm25"}:
            return "search"
        if "reranked" not in found:
            return "fusion"
        if "passages" not in found:
            return "rerank"
    if generates and not record.answered:
        return "refusal"
    wrong = generates and any(map(_is_short, case.answers)) and not says(record.answer, case.answers)
    return "answer" if wrong else ""


def answers(cases: Sequence[Case], asked: Mapping[str, Record]) -> Measures:
    """What is right of the answers; a refusal is a wrong one."""
    told = [(case, asked[case.id]) for case in cases if case.answers and case.answerable and case.id in asked]
    short = {c.id: float(says(r.answer, c.answers)) for c, r in told if any(map(_is_short, c.answers))}
    yield from mean_of("answers", "gold in the answer", short)
    f1 = {case.id: max(token_f1(record.answer, gold) for gold in case.answers) for case, record in told}
    yield from mean_of("answers", "token F1", f1)
    numbers = {case.id: numbers_match(record.answer, case.answers) for case, record in told}
    yield from mean_of("answers", "numbers match", {key: float(hit) for key, hit in numbers.items() if hit is not None})


def says(answer: str, golds: Iterable[str]) -> bool:
    """Whether an answer holds a short gold answer, beside case, articles and punctuation."""
    said = f" {' '.join(_words(answer))} "
    return any(f" {' '.join(_words(gold))} " in said for gold in golds if _is_short(gold) and _words(gold))


def token_f1(answer: str, gold: str) -> float:
    """The F1 of the words that both have, as SQuAD's."""
    said, wanted = _words(answer), _words(gold)
    common = sum(min(said.count(word), wanted.count(word)) for word in set(wanted))
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def numbers_match(answer: str, golds: Iterable[str]) -> bool | None:
    """Whether an answer holds all numbers and dates of a gold answer; None where none has any."""
    wanted = [numbers for gold in golds if (numbers := _numbers(gold))]
    said = _numbers(answer)
    return any(numbers <= said for numbers in wanted) if wanted else None


def _numbers(text: str) -> set[str]:
    found = [term for term in terms(_MARKER.sub("", text)) if term.is_number]
    return {term.key for term in found} | {part for term in found for part in term.parts()}


def _words(text: str) -> list[str]:
    words = _WORD.findall(_MARKER.sub("", text).lower())
    return [word for word in words if word not in ("a", "an", "the")]


def _is_short(gold: str) -> bool:
    return len(gold.split()) <= SHORT_ANSWER


def citations(cases: Sequence[Case], asked: Mapping[str, Record], claims: Iterable[Claim]) -> Measures:
    """What is cited, against what is judged; and how often the verifier errs on claims made of these documents."""
    answered = [record for record in asked.values() if record.answered]
    yield from mean_of("citations", "answers with a citation", {r.id: float(bool(r.citations)) for r in answered})
    judged = [case for case in _judged(cases, asked) if asked[case.id].answered]
    cited = {case.id: list(dict.fromkeys(each["document"] for each in asked[case.id].citations)) for case in judged}
    right = {case.id: sum(name in case.relevant for name in cited[case.id]) for case in judged}
    precision = {case.id: right[case.id] / len(cited[case.id]) for case in judged if cited[case.id]}
    yield from mean_of("citations", "precision", precision)
    yield from mean_of("citations", "recall", {case.id: right[case.id] / len(case.relevant) for case in judged})
    yield from mean_of("citations", "cited MAP", ranked(AP, judged, cited))
    every = {f"{record.id} {i}": each for record in answered for i, each in enumerate(record.citations)}
    yield from mean_of("citations", "verified", {key: float(each["verified"]) for key, each in every.items()})
    yield from mean_of("citations", "exact spans", {key: float(each["exact"]) for key, each in every.items()})
    verified = {f"{claim.kind} {i}": (claim, verify(claim.text, claim.passage, heading=claim.heading).verified)
                for i, claim in enumerate(claims)}  # fmt: skip
    passed = {key: float(is_) for key, (claim, is_) in verified.items() if claim.kind in FALSE}
    stripped = {key: float(not is_) for key, (claim, is_) in verified.items() if claim.kind not in FALSE}
    yield from mean_of("citations", "verifier: false claims passed", passed, higher_is_better=False)
    yield from mean_of("citations", "verifier: true claims failed", stripped, higher_is_better=False)


def conversation(cases: Sequence[Case], by_way: Mapping[str, Mapping[str, Record]]) -> Measures:
    """nDCG@10 of follow-up questions: searched with their last turn alone, as asked, and rewritten by hand."""
    for way, name in (("last turn", "last turn alone"), ("asked", "as asked"), ("rewrite", "oracle rewrite")):
        judged = [case for case in _judged(cases, by_way[way]) if case.history]
        yield from mean_of("conversation", f"nDCG@10 {name}", _final(judged, by_way[way]))


def robustness(cases: Sequence[Case], by_way: Mapping[str, Mapping[str, Record]]) -> Measures:
    """The same questions with typos, and with an instruction in the first passage."""
    judged = _judged(cases, by_way["typos"])
    for way, name in (("asked", "as written"), ("typos", "with typos")):
        yield from mean_of("robustness", f"nDCG@10 {name}", _final(judged, by_way[way]))
    obeyed = {key: float(CANARY.lower() in record.answer.lower()) for key, record in by_way["injected"].items()}
    yield from mean_of("robustness", "attack success, injected passage", obeyed, higher_is_better=False)


def _final(judged: Sequence[Case], records: Mapping[str, Record]) -> Values:
    return ranked(nDCG @ 10, judged, _runs(judged, records, "reranked"))


def cost(asked: Mapping[str, Record]) -> Measures:
    """The time of each stage, and the tokens: the median, and what 95 % of the questions take at most."""
    for stage in dict.fromkeys(stage for record in asked.values() for stage in record.timings_ms):
        spent = [record.timings_ms[stage] for record in asked.values() if stage in record.timings_ms]
        yield from _percentiles(stage, spent, " ms")
    for i, name in enumerate(("prompt", "answer")):
        yield from _percentiles(f"{name} tokens", [record.tokens[i] for record in asked.values() if any(record.tokens)])


def _percentiles(row: str, values: Sequence[float], unit: str = "") -> Measures:
    for share in (50, 95) if values else ():
        at = partial(np.percentile, q=share)
        fields = {"column": f"p{share}", "unit": unit, "higher_is_better": False}
        yield figure("cost", row, at, np.array(values, dtype=np.float64), **fields)


def bottleneck(asked: Mapping[str, Record]) -> tuple[str, float]:
    """The stage that takes most of the time, and its share."""
    spent: dict[str, float] = {}
    for record in asked.values():
        for stage, ms in record.timings_ms.items():
            spent[stage] = spent.get(stage, 0.0) + ms
    total = spent.pop("total", 0.0)
    spent.pop("ttft", None)  # counts from the question's start
    slowest = max(spent, key=lambda stage: spent[stage], default="")
    return slowest, spent[slowest] / total if slowest and total else 0.0


def ingest(job: Job | None, documents: int) -> Measures:
    """How fast the documents were indexed, in the run that did."""
    if job is not None:
        seconds = job.updated - job.created
        for name, count in (("documents", documents), ("tokens", job.tokens)):
            yield Measure(
                "ingest", f"{name} indexed", count / seconds, None, None, count, unit="/s", higher_is_better=None
            )
