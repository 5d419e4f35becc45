"""What the rules leave open is decided by an entailment model, where there is one; nothing else is."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.answer.breaker import Breaker
from app.answer.citations import CitationChecker
from app.answer.entailment import Entailment
from app.answer.passages import Fused, Passage
from app.answer.trace import Trace
from app.answer.verify import verify
from app.settings import AppSettings, Grounding
from indexing.document import StoredChunk
from services.client import EntailmentClient
from services.settings import EncoderSettings
from tests.app.http.test_server import NOBODY, add, serving, settings_over
from tests.conftest import Stack
from tests.services.conftest import serving as serving_model
from tests.services.score import tiny_classifier

pytestmark = pytest.mark.anyio

TOWER = "The lighthouse on Skerry Point was built in 1862 by the engineer Thomas Leask. The harbour freezes in winter."
HOLDS = "Thomas Leask wrought the lighthouse in 1862."
DENIES = "Thomas Leask razed the lighthouse in 1862."
OPEN = "Thomas Leask painted the lighthouse in 1862."
KINDS = {
    "mnli": {"neutral": "painted", "contradiction": "razed", "entailment": "wrought"},
    "another order": {"Entailment": "wrought", "Neutral": "painted", "Contradiction": "razed"},
    "two labels": {"hallucinated": "painted", "grounded": "wrought"},
}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serves a model of each kind, in one process after the other's start."""
    folders = {name: tmp_path_factory.mktemp("nli") for name in (*KINDS, "nameless")}
    for name, folder in folders.items():
        tiny_classifier.write(folder, KINDS.get(name, {"LABEL_0": "painted", "LABEL_1": "wrought"}))
    with (
        serving_model(folders["mnli"] / "log", str(folders["mnli"]), "--task", "verify") as mnli,
        serving_model(folders["mnli"] / "log", str(folders["another order"]), "--task", "verify") as other,
        serving_model(folders["mnli"] / "log", str(folders["two labels"]), "--task", "verify") as two,
        serving_model(folders["mnli"] / "log", str(folders["nameless"]), "--task", "verify") as nameless,
    ):
        yield {"mnli": mnli.url, "another order": other.url, "two labels": two.url, "nameless": nameless.url}


def passage(index: int, text: str) -> Passage:
    chunk = StoredChunk(index, "doc", 0, text, 0, len(text), None, "", "source", "title", {})
    return Passage(index, chunk, Fused(index, 0.1, 0.9, 3.0), 1, 4.0, 0.98)


@asynccontextmanager
async def entailment(url: str) -> AsyncIterator[Entailment]:
    client = EntailmentClient(EncoderSettings(url=url))
    yield Entailment(client, Breaker(client))
    await client.aclose()


async def checked(url: str, wrote: str, grounding: Grounding = "mark") -> tuple[str, list[tuple[int, str]], Trace]:
    """The answer, (index, support) of its citations, and the trace."""
    trace = Trace.starting(60)
    async with entailment(url) as head:
        passages = [passage(1, "The harbour is closed on Mondays."), passage(2, TOWER)]

        async def settle(claim, found):
            return await head.settle(claim, found, trace)

        checker = CitationChecker(passages, "", grounding, settle)
        events = [*await checker.feed(wrote), *await checker.finish()]
    text = "".join(event for event in events if isinstance(event, str))
    return text, [(event.index, event.support) for event in events if not isinstance(event, str)], trace


@pytest.mark.parametrize("kind", KINDS)
async def test_a_claim_in_other_words_is_decided_by_the_labels_names(urls: dict[str, str], kind: str) -> None:
    assert (await checked(urls[kind], HOLDS))[:2] == (f"{HOLDS[:-1]} [2].", [(2, "entailed")])
    assert (await checked(urls[kind], f"{OPEN[:-1]} [2]."))[1] == [(2, "unsupported")]
    denied = "contradicted" if len(KINDS[kind]) > 2 else "unsupported"
    assert (await checked(urls[kind], f"{DENIES[:-1]} [2]."))[1] == [(2, denied)]


@pytest.mark.parametrize(
    "claim",
    [
        "Thomas Leask wrought the lighthouse in 1863 [2].",
        "In 1862 Ana Leask wrought the lighthouse [2].",
        "The lighthouse was not built in 1862 by Thomas Leask, who wrought [2].",
    ],
)
async def test_numbers_names_and_contradictions_stay_as_the_rules_say(urls: dict[str, str], claim: str) -> None:
    ((_, support),) = (await checked(urls["mnli"], claim))[1]
    assert support in ("unsupported", "contradicted")


async def test_what_the_rules_contradict_in_one_passage_no_model_carries_in_another(urls: dict[str, str]) -> None:
    claim = "The tower was not built in 1862."
    passages = ["The tower was built in 1862.", "In 1862 the tower was there, wrought by hand."]
    found = [(text, verify(claim, text)) for text in passages]
    assert [(verdict.support, verdict.is_open) for _, verdict in found] == [
        ("contradicted", False),
        ("unsupported", True),
    ]
    async with entailment(urls["mnli"]) as head:
        assert await head.settle(claim, found, Trace.starting(60)) == [verdict for _, verdict in found]
        assert (await head.settle(claim, found[1:], Trace.starting(60)))[0].support == "entailed"


async def test_what_the_model_carries_is_kept_under_repair_and_what_it_does_not_is_dropped(
    urls: dict[str, str],
) -> None:
    text, _, trace = await checked(urls["mnli"], f"{OPEN} {HOLDS} The harbour freezes in winter.", "repair")
    assert text == f"{HOLDS[:-1]} [2]. The harbour freezes in winter [2]."
    assert trace.degraded == []
    assert trace.timings_ms["verify"] > 0


async def test_without_the_model_nothing_that_it_would_carry_is_verified(urls: dict[str, str]) -> None:
    for url, warned in ((NOBODY, "cannot be reached"), (urls["nameless"], "id2label")):
        text, citations, trace = await checked(url, f"{HOLDS[:-1]} [2]. The harbour freezes in winter.")
        assert citations == [(2, "unsupported"), (2, "quoted")]
        assert trace.degraded == ["verify"]
        assert warned in trace.warnings[0]
        assert text.endswith("The harbour freezes in winter [2].")


async def test_verify_asks_the_model_too(urls: dict[str, str], stack: Stack, tmp_path: Path) -> None:
    body = {"claims": [{"claim": HOLDS}, {"claim": HOLDS, "passage": TOWER}, {"claim": DENIES, "passage": TOWER}]}
    async with serving(settings_over(stack, tmp_path, verify={"url": urls["mnli"]})) as http:
        await add(http, "tower", TOWER)
        answer = (await http.post("/verify", json=body)).json()
        assert (await http.get("/health/ready")).json()["services"]["verify"]
    assert [each["support"] for each in answer["results"]] == ["entailed", "entailed", "contradicted"]
    for each in answer["results"]:
        assert TOWER[each["quote_start"] : each["quote_end"]] == each["quote"] == TOWER[: TOWER.index(" The harbour")]
        assert each["support_score"] > 0.9
    async with serving(settings_over(stack, tmp_path, verify={"url": NOBODY})) as http:
        answer = (await http.post("/verify", json=body)).json()
    assert [each["verified"] for each in answer["results"]] == [False] * 3
    assert answer["degraded"] == ["verify"]


def test_it_is_off_unless_a_model_is_named() -> None:
    assert not AppSettings.load().verify.is_named
