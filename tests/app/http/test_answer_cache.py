"""Kept answers: the same question is answered at once, and nothing that has changed is answered as before."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from indexing.store.local import LocalStores
from tests.app.http.test_server import ASK, NOBODY, add, data_dir, serving, settings_over
from tests.conftest import RAGLINE, Stack

__all__ = ["data_dir"]

pytestmark = pytest.mark.anyio

NEW = ("cached", "id", "timings_ms")
"""What an answer that is given again has of its own."""


async def ask(http: httpx2.AsyncClient, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    answer = await http.post("/ask", json={**ASK, **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def events(http: httpx2.AsyncClient, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    answer = await http.post("/ask", json={**ASK, **body, "stream": True})
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.split("\n\n") if block]
    return [(block["event"], json.loads(block["data"])) for block in blocks if block["event"] != "status"]


def said(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in NEW}


async def test_the_same_question_is_answered_as_before_whole_and_streamed(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        first, again = await ask(http), await ask(http)
        assert (first["cached"], again["cached"]) == (False, True)
        assert said(first) == said(again)
        assert first["id"] != again["id"]
        assert set(again["timings_ms"]) == {"total"}
        streamed = await events(http)
        assert [name for name, _ in streamed] == [name for name, _ in await events(http, max_tokens=511)], (
            "as one streams"
        )
        (_, sources), *middle, (_, done) = streamed
        assert sources["sources"] == first["sources"]
        assert "".join(data["text"] for name, data in middle if name == "delta") == first["answer"]
        assert [data for name, data in middle if name == "citation"] == first["citations"]
        assert done["cached"]
        assert sources["id"] not in {first["id"], again["id"]}
        metrics = (await http.get("/metrics")).text
        assert "ragline_answer_cache_queries_total 4.0" in metrics
        assert "ragline_answer_cache_hits_total 2.0" in metrics
        assert (await ask(http, max_tokens=511))["cached"], "what was streamed is kept, too"
    async with serving(settings_over(stack, data_dir, ask={"top_n": 2})) as http:
        assert not (await ask(http))["cached"], "other settings are another process"


async def test_any_change_of_the_collection_asks_anew(stack: Stack, data_dir: Path, tmp_path: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:

        async def is_fresh() -> bool:
            first, again = await ask(http), await ask(http)
            assert again["cached"]
            return not first["cached"]

        assert await is_fresh()
        assert not await is_fresh()
        await add(http, "news", "Pump P-17 was replaced again in May 2025 by Bo Lund.")
        assert await is_fresh()
        await http.delete("/documents/news")
        assert await is_fresh()
        with LocalStores(data_dir).open("default") as store:
            store.move("pump", "/elsewhere/pump.txt")
        assert await is_fresh()
        assert (await ask(http))["sources"][0]["url"] == "/elsewhere/pump.txt"
        (tmp_path / "more").mkdir()
        (tmp_path / "more/fan.txt").write_text("The fan F-3 was cleaned in June by Cy Dahl.")
        env = {**stack.env, "RAGLINE_DATA_DIR": str(data_dir), "RAGLINE_EMBED__URL": stack.addresses["embed"]}
        await anyio.run_process([RAGLINE, "index", str(tmp_path / "more")], env=env, cwd=stack.folder)
        assert await is_fresh()
        await http.delete("/collections/default")
        assert (await http.post("/ask", json=ASK)).status_code == 404
        await add(http, "pump", "Pump P-17 was replaced in 2019 by Dee Moe.")
        assert await is_fresh()
        assert "Dee Moe" in (await ask(http))["answer"]


async def test_what_differs_in_the_body_is_another_question(stack: Stack, data_dir: Path) -> None:
    equal = {"type": "eq", "key": "document_id", "value": "pump"}
    async with serving(settings_over(stack, data_dir)) as http:
        for body in (
            {},
            {"filters": equal},
            {"filters": {**equal, "value": "tower"}},
            {"temperature": 0.5},
            {"top_n": 2},
            {"min_score": 0},
            {"include_chunks": False},
            {"question": "Who replaced the pump P-17?"},
            {"question": None, "messages": [{"role": "user", "content": ASK["question"]}]},
            {
                "question": None,
                "messages": [{"role": "user", "content": "Hello"}, {"role": "user", "content": ASK["question"]}],
            },
        ):
            assert not (await ask(http, **body))["cached"], body
            assert (await ask(http, **body))["cached"], body
        assert (await ask(http, filters=dict(reversed(equal.items()))))["cached"]
        assert (await ask(http, collection="default"))["cached"], "the collection that was meant"
        anew = await ask(http, headers={"Cache-Control": "no-cache"})
        assert not anew["cached"]
        assert said(await ask(http)) == said(anew)


@pytest.mark.parametrize(
    ("overrides", "headers"),
    [
        pytest.param({"score": {"url": NOBODY}}, {}, id="degraded"),
        pytest.param({"ask": {"cache_entries": 0}}, {}, id="off"),
        pytest.param({"ask": {"cache_bytes": 100}}, {}, id="too large"),
        pytest.param({"server": {"api_key": "k"}}, {"Authorization": "Bearer k"}, id="a key"),
    ],
)
async def test_what_is_not_kept(stack: Stack, data_dir: Path, overrides: Any, headers: dict[str, str]) -> None:
    async with serving(settings_over(stack, data_dir, **overrides)) as http:
        assert [(await ask(http, headers))["cached"] for _ in range(2)] == [False, False]


async def test_a_key_and_a_number_keep_answers(stack: Stack, data_dir: Path) -> None:
    settings = settings_over(stack, data_dir, server={"api_key": "k"}, ask={"cache_entries": 1})
    async with serving(settings) as http:
        http.headers["Authorization"] = "Bearer k"
        other = {"question": "When was the lighthouse built?"}
        bodies: list[dict[str, Any]] = [{}, {}, other, other, {}]
        assert [(await ask(http, **body))["cached"] for body in bodies] == [False, True, False, True, False]
