"""Which sentences answer, by the cross-encoder of the `cpu` profile."""
# ruff: noqa: RUF001 - Greek and Russian

import time

import pytest

from app.answer.evidence import Evidence, quote, select_evidence
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


async def found(stack: Stack, question: str, *passages: Passage) -> list[Evidence]:
    scorer = ScoreClient(ScoreSettings(url=stack.addresses["score"]))
    try:
        return await select_evidence(scorer, question, passages, 2, time.monotonic() + 60)
    finally:
        await scorer.aclose()


async def answer(stack: Stack, question: str, *passages: Passage) -> str:
    events = quote(await found(stack, question, *passages))
    return "".join(event for event in events if isinstance(event, str))


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


ACME = "Acme makes pumps for mines in Chile. It was founded in 1921 by two sisters."
BOREALIS = "Borealis Water was founded in 1934 in a garage in Oslo. It sells filters."
HARBOUR = "The harbour was dredged in 1950. It freezes in winter."


async def test_what_the_first_passage_leaves_unnamed_is_quoted_from_another(stack: Stack) -> None:
    passages = passage(ACME, "Acme"), passage(HARBOUR, "Harbour", 2), passage(BOREALIS, "Borealis", 3)
    said = await found(stack, "When were Acme and Borealis Water founded?", *passages)
    assert {each.passage.index for each in said} == {1, 3}
    text = await answer(stack, "When were Acme and Borealis Water founded?", *passages)
    assert "It was founded in 1921 by two sisters [1]." in text
    assert "Borealis Water was founded in 1934 in a garage in Oslo [3]." in text
    for question in ("When was Acme founded?", "When was Acme in Uruguay founded?"):
        assert {each.passage.index for each in await found(stack, question, *passages)} == {1}


REVENUE = (
    "The table shows revenue by zone.\n\n| Revenue | 2022 | 2023 |\n|---|---|---|\n"
    "| Zone EUR | 1,204 | 1,181 |\n| Zone USD | 802 | 911 |\n| Zone GBP | 310 | 295 |"
)


@pytest.mark.parametrize("zone", ["EUR: 1,204", "GBP: 310"])
async def test_no_row_of_another_name_stands_beside_the_one_that_is_asked_for(stack: Stack, zone: str) -> None:
    name, _, value = zone.partition(": ")
    said = await answer(stack, f"How much revenue did zone {name} have in 2023?", passage(REVENUE, "Report > Revenue"))
    assert said.startswith(f"Revenue: Zone {name}; 2022: {value}; 2023: ")
    assert said.count("[1]") == 1


async def test_a_row_that_names_its_values_is_before_one_that_does_not(stack: Stack) -> None:
    named = "| Item | 2022 | 2023 |\n|---|---|---|\n| Net sales | 1,204 | 1,181 |\n| Tax | 3 | 5 |"
    unnamed = "| Zone EUR | — | (23) |\n| Zone USD | 4 | (9) |"
    passages = passage(named, "Report > Zone EUR > Income"), passage(unnamed, "Report > Net sales by zone", 2)
    assert await answer(stack, "What were the net sales of zone EUR?", *passages) == (
        "Item: Net sales; 2022: 1,204; 2023: 1,181 [1]."
    )
    assert (await answer(stack, "What were the net sales of zone EUR?", passages[1])).startswith(
        "Zone EUR; —; (23) [2]."
    )


PARTS = (
    "The pump has few parts. It is easy to service.\n\nThe parts of the pump are:\n\n- a valve\n- a rotor, of steel;\n"
    "- seals\n\nSpare parts are kept in Berlin. The manual of the pump lists all tools:\n1. a wrench\n2. pliers\n"
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What are the parts of the pump?", "The parts of the pump are: a valve; a rotor, of steel; seals [1]."),
        ("Which tools does the manual list?", "The manual of the pump lists all tools: a wrench; pliers [1]."),
        ("Where are spare parts kept?", "Spare parts are kept in Berlin [1]."),
    ],
)
async def test_a_list_is_quoted_with_its_items(stack: Stack, question: str, expected: str) -> None:
    assert expected in await answer(stack, question, passage(PARTS, "Manual"))


async def test_a_long_list_is_quoted_as_far_as_there_is_room(stack: Stack) -> None:
    items = [f"part number {n} of the pump, which is made of steel" for n in range(30)]
    text = "The parts are:\n" + "\n".join(f"* {item}" for item in items)
    first, *_ = await found(stack, "What are the parts?", passage(text))
    quoted = text[first.start : first.end]
    assert text.startswith(quoted)
    assert quoted.endswith("steel")
    assert 3 < quoted.count("\n") < 30
    assert first.said == "The parts are: " + "; ".join(items[: quoted.count("\n")])


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
