"""Which sentences answer, by the cross-encoder of the `cpu` profile."""
# ruff: noqa: RUF001 - Greek and Russian

import time

import pytest

from app.answer.evidence import quote, select_evidence
from app.answer.passages import Fused, Passage
from indexing.document import StoredChunk
from services.client import ScoreClient
from services.settings import ScoreSettings
from tests.conftest import Stack

pytestmark = pytest.mark.anyio

SITES = (
    "## Berlin\n\nThe doors open at 9. Parking is behind the hall.\n\n"
    "## Paris\n\nThe doors open at 8. Parking is free on Sundays.\n\nCanteen: 5512\nReception: 5500"
)
PUMPS = (
    "Pump P-17 was replaced in March 2024 by Ana Ruiz. Its pressure limit is 8 bar. "
    "Pump P-18 was not replaced. It was inspected by Tom Berg.\n\n"
    "| Pump | Limit | Site |\n|---|---|---|\n| P-17 | 8 bar | Berlin |\n| P-18 | 12 bar | Paris |"
)
GREEK = (
    "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας. "
    "Ο πύργος της πόλης χτίστηκε το 1862 από τον μηχανικό Λέανδρο. "
    "Η είσοδος του μουσείου κοστίζει επτά ευρώ. "
    "Το λιμάνι είναι κλειστό τη Δευτέρα. "
    "Οι επισκέπτες ανεβαίνουν 132 σκαλιά. "
    "Το ξενοδοχείο δίπλα στον σταθμό έχει σαράντα δωμάτια. "
    "Ο φάρος ανάβει κάθε βράδυ στις οκτώ."
)
RUSSIAN = (
    "Башня города была построена в 1862 году инженером Леаском. "
    "Вход в музей стоит семь евро. "
    "Порт закрыт по понедельникам. "
    "Посетители поднимаются на 132 ступени. "
    "В гостинице у вокзала сорок комнат. "
    "Маяк зажигают каждый вечер в восемь. "
    "Директор музея живёт в соседнем доме."
)


def passage(text: str, heading: str = "", index: int = 1) -> Passage:
    chunk = StoredChunk(index, f"d{index}", 0, text, 0, len(text), None, heading, "source", "title", {})
    return Passage(index, chunk, Fused(index, 1.0, None, None), rank_before=index, logit=0.0, score=0.5)


async def answer(stack: Stack, question: str, *passages: Passage) -> str:
    scorer = ScoreClient(ScoreSettings(url=stack.addresses["score"]))
    try:
        found = await select_evidence(scorer, question, passages, 2, time.monotonic() + 60)
    finally:
        await scorer.aclose()
    return "".join(event for event in quote(found) if isinstance(event, str))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("When do the doors open in Berlin?", "The doors open at 9 [1]."),
        ("When do the doors open in Paris?", "The doors open at 8 [1]."),
        ("What is the canteen's number?", "Canteen: 5512 [1]."),
    ],
)
async def test_a_sentence_is_read_under_its_own_heading(stack: Stack, question: str, expected: str) -> None:
    assert await answer(stack, question, passage(SITES, "Sites > Berlin")) == expected


async def test_a_sentence_of_another_number_is_no_evidence(stack: Stack) -> None:
    assert (
        await answer(stack, "What is the limit of P-18?", passage(PUMPS))
        == "Pump: P-18; Limit: 12 bar; Site: Paris [1]."
    )
    assert await answer(stack, "Who replaced pump P-99?", passage(PUMPS)) == ""


async def test_the_names_of_a_tables_columns_are_no_evidence(stack: Stack) -> None:
    assert await answer(stack, "Which pumps are there?", passage(PUMPS[PUMPS.index("|") :])) == (
        "Pump: P-17; Limit: 8 bar; Site: Berlin [1]. Pump: P-18; Limit: 12 bar; Site: Paris [1]."
    )


@pytest.mark.parametrize(
    ("question", "text", "says"),
    [
        ("Ποια μέρα είναι κλειστό το λιμάνι;", GREEK, "Το λιμάνι είναι κλειστό τη Δευτέρα"),
        ("Сколько стоит вход в музей?", RUSSIAN, "Вход в музей стоит семь евро"),
    ],
)
async def test_shared_words_find_the_sentence_where_the_cross_encoder_does_not(
    stack: Stack, question: str, text: str, says: str
) -> None:
    assert (await answer(stack, question, passage(text))).startswith(f"{says} [1].")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the carbon intensity of our northern operations?",
         "2.5 kilograms a barrel carbon intensity from our northern operations in 2022 [1]."),
        ("What was the net profit?", "BY NET PROFIT 67,845 crore [1]."),
        ("How many jobs were created?", "232,822 new jobs created [1]."),
    ],
)  # fmt: skip
async def test_a_figure_is_read_with_its_caption(stack: Stack, question: str, expected: str) -> None:
    text = (
        "We invest to grow.\n\n2.5\nkilograms a barrel\ncarbon intensity from\nour northern operations\nin 2022\n\n"
        "BY REVENUE\n792,756 crore\nBY NET PROFIT\n67,845 crore\n\n232,822\nnew jobs created"
    )
    assert await answer(stack, question, passage(text)) == expected


async def test_of_many_sentences_those_that_share_rare_words_are_read(stack: Stack) -> None:
    filler = " ".join(f"The hall number {n} has a grey door and a window." for n in range(90))
    said = await answer(stack, "Who painted the mural?", passage(f"{filler} The mural was painted by Ines Duarte."))
    assert said == "The mural was painted by Ines Duarte [1]."
