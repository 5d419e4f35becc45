"""Questions in a script that the bundled English models do not know: BM25 alone finds the passages."""

from pathlib import Path
from typing import Any

import pytest

from tests.app.http.test_server import add, serving, settings_over
from tests.conftest import Stack

pytestmark = pytest.mark.anyio

TEXTS = {
    "pump": "泵P-17于2024年3月由工程师安娜更换。",
    "lighthouse": "斯凯里角的灯塔由托马斯于1862年建造。",
    "leave": "员工每年享有27天带薪休假。",
}
QUESTION = "斯凯里角的灯塔是谁建造的"
NOT_ASKED = [
    "embed: bge-small-en-v1.5-int8 does not know the script of the question, and was not asked",
    "score: ms-marco-MiniLM-L-12-v2-int8 does not know the script of the question, and was not asked",
]


async def searched(stack: Stack, folder: Path, query: str, **models: Any) -> dict[str, Any]:
    async with serving(settings_over(stack, folder, **models)) as http:
        answer = await http.post("/search", json={"query": query, "min_score": 0})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def folder(stack: Stack, tmp_path: Path) -> Path:
    async with serving(settings_over(stack, tmp_path)) as http:
        for identity, text in TEXTS.items():
            await add(http, identity, text)
    return tmp_path


async def test_words_alone_are_searched_and_it_is_said(stack: Stack, folder: Path) -> None:
    body = await searched(stack, folder, QUESTION)
    assert body["results"][0]["document_id"] == "lighthouse"
    assert {(hit["score_scale"], hit["dense_score"], hit["rerank_score"]) for hit in body["results"]} == {
        ("zscore", None, None)
    }
    assert (body["degraded"], body["warnings"]) == ([], NOT_ASKED)
    latin = await searched(stack, folder, "Wer hat den Leuchtturm gebaut?")
    assert {hit["score_scale"] for hit in latin["results"]} == {"probability"}
    assert latin["warnings"] == []


async def test_a_model_of_unknown_languages_is_asked(stack: Stack, folder: Path) -> None:
    """The stack's own cross-encoder under a name that no preset has."""
    other = {"model": "another", "served_model_name": "ms-marco-MiniLM-L-12-v2-int8"}
    body = await searched(stack, folder, QUESTION, score=other)
    assert {hit["score_scale"] for hit in body["results"]} == {"probability"}
    assert body["warnings"] == NOT_ASKED[:1]
