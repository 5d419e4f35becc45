"""A conversation's last turn is searched with words of the turn before, and says so."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.app.http.test_server import add, serving, settings_over
from tests.conftest import Stack

pytestmark = pytest.mark.anyio

TEXTS = {
    "p17": "Pump P-17 stands in the boiler house. The pressure limit of pump P-17 is 8 bar.",
    "p31": "What is its pressure limit? The pressure limit of pump P-31 is 12 bar.",
    "tower": "The lighthouse on Skerry Point was built in 1862 by the engineer Thomas Leask.",
}
BEFORE = [
    {"role": "user", "content": "Where does pump P-17 stand?"},
    {"role": "assistant", "content": "Pump P-17 stands in the boiler house."},
]


def asking(last: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [*BEFORE, {"role": "user", "content": last}], **fields}


@pytest.fixture
async def data_dir(stack: Stack, tmp_path: Path) -> Path:
    async with serving(settings_over(stack, tmp_path)) as http:
        for identity, text in TEXTS.items():
            await add(http, identity, text)
    return tmp_path


async def asked(http: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post("/ask", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_follow_up_is_answered_about_what_the_turn_before_is_about(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        body = await asked(http, asking("And what is its pressure limit?"))
        alone = await asked(http, {"question": "And what is its pressure limit?"})
    assert alone["sources"][0]["document_id"] == "p31"
    assert alone["searched_for"] is None
    assert body["sources"][0]["document_id"] == "p17"
    assert body["searched_for"] == "And what is its pressure limit? pump P-17 stand boiler house"
    assert "8 bar" in body["answer"]
    assert {citation["document_id"] for citation in body["citations"]} == {"p17"}


async def test_a_number_of_the_last_turn_is_not_answered_by_the_turn_before(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        body = await asked(http, asking("And the pressure limit of P-31?"))
        other = await asked(http, asking("And the pressure limit of P-99?"))
    assert "12 bar" in body["answer"]
    assert (other["answered"], other["finish_reason"]) == (False, "not_found")


async def test_what_is_searched_for_can_be_given(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        body = await asked(http, asking("And what is its limit?", searched_for="pressure limit of pump P-31"))
        blank = await http.post("/ask", json=asking("And what is its limit?", searched_for=" "))
        long = await http.post("/ask", json=asking("And what is its limit?", searched_for="x" * 30_000))
    assert body["searched_for"] == "pressure limit of pump P-31"
    assert "12 bar" in body["answer"]
    assert (blank.status_code, blank.json()["error"]["param"]) == (400, "body.searched_for")
    assert (long.status_code, long.json()["error"]["code"]) == (413, 413)


async def test_a_stream_says_what_was_searched_for_before_it_answers(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        answer = await http.post("/ask", json=asking("And what is its pressure limit?", stream=True))
    first = next(line for line in answer.text.splitlines() if line.startswith("data:") and "sources" in line)
    said = json.loads(first.removeprefix("data:"))
    assert said["searched_for"] == "And what is its pressure limit? pump P-17 stand boiler house"
    assert said["sources"][0]["document_id"] == "p17"


async def test_a_follow_up_is_searched_by_bm25_alone_too(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir, embed={"url": "http://127.0.0.1:9"})) as http:
        body = await asked(http, asking("And what is its pressure limit?"))
    assert body["sources"][0]["document_id"] == "p17"
