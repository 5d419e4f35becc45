"""An answer as server-sent events: never silent, never cut without a word, and one id through everything."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn

from app.http.server import create_app
from app.settings import AppSettings
from tests.app.http.test_overload import slow_scorer
from tests.app.http.test_server import ASK, NOBODY, TEXTS, add, answering, serving, settings_over
from tests.conftest import Stack

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def listening(settings: AppSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """A real server: a transport to the app would hold an answer back until it is whole."""
    port = settings.server.port if "port" in settings.server.model_fields_set else 0
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_config=None))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        while not server.started:
            await anyio.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
            yield http
        server.should_exit = True


async def events_of(http: httpx2.AsyncClient, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    async with http.sse("/ask", method="POST", json={**ASK, "stream": True, **body}) as events:
        assert events.response.headers["cache-control"] == "no-cache"
        assert events.response.headers["x-accel-buffering"] == "no"
        return [(event.event, json.loads(event.data)) async for event in events]


async def test_a_stream_says_what_it_waits_for(stack: Stack, tmp_path: Path) -> None:
    with slow_scorer(5.5) as url:
        async with listening(settings_over(stack, tmp_path, score={"url": url})) as http:
            await add(http, "pump", TEXTS["pump"])
            events = await events_of(http)
    names = [name for name, _ in events]
    assert names[0] == "status"
    assert {data["stage"] for name, data in events if name == "status"} >= {"rerank", "evidence"}
    assert names.index("sources") < names.index("delta")
    assert names[-1] == "done"
    assert events[-1][1]["degraded"] == []


async def test_an_error_keeps_its_status_before_the_first_event_and_is_one_after_it(
    stack: Stack, tmp_path: Path
) -> None:
    long = {"question": "Who replaced the pump? " * 80}
    small = {"context_tokens": 128, "evidence_sentences": 0, "prompt": "answer"}
    with slow_scorer(7.0) as url:
        async with listening(settings_over(stack, tmp_path, ask=small)) as http:
            await add(http, "pump", TEXTS["pump"])
            assert (await http.post("/ask", json={**long, "stream": True})).status_code == 413
        async with listening(settings_over(stack, tmp_path, ask=small, score={"url": url})) as http:
            events = await events_of(http, **long)
    assert [name for name, _ in events if name != "status"] == ["error"]
    assert events[-1][1]["error"]["code"] == 413


CHUNK = json.dumps(
    {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    | {"choices": [{"index": 0, "delta": {"content": "Ana Ruiz "}, "finish_reason": None}]}
)


@contextmanager
def babbling(rest: bytes) -> Iterator[str]:
    """The address of a language model that goes on with `rest` after its first word."""

    class Babbles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("application/json", b'{"data": [{"id": "m", "max_model_len": 2048}]}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer("text/event-stream", f"data: {CHUNK}\n\n".encode() + rest)

        def _answer(self, media_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body)

    with answering(Babbles) as url:
        yield url


@pytest.mark.parametrize(
    "rest",
    [b"data: {cut", b"data: <html>\n\n", b"data: []\n\n", b"data: 5\n\n", b'data: {"choices": 5}\n\n', b"\xff\n\n"],
)
async def test_garbage_in_the_middle_ends_a_stream_with_a_word(stack: Stack, tmp_path: Path, rest: bytes) -> None:
    with babbling(rest) as url:
        async with listening(settings_over(stack, tmp_path, generate={"url": url})) as http:
            await add(http, "pump", TEXTS["pump"])
            events = await events_of(http)
    assert events[-1][0] in {"done", "error"}


@pytest.mark.parametrize("given", [None, "my-own-id"])
async def test_one_id_is_in_body_header_log_and_services(
    stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture, given: str | None
) -> None:
    ids: list[str | None] = []
    caplog.set_level(logging.INFO, "app.http.tracing")
    with slow_scorer(0.0, ids) as url:
        async with serving(settings_over(stack, tmp_path, score={"url": url})) as http:
            await add(http, "pump", TEXTS["pump"])
            answer = await http.post("/ask", json=ASK, headers={"X-Request-Id": given} if given else None)
    assert answer.headers["x-request-id"] == answer.json()["id"] == (given or answer.json()["id"])
    assert set(ids) == {answer.json()["id"]}
    (line,) = caplog.records
    assert line.request_id == answer.json()["id"]
    assert line.outcome == answer.json()["finish_reason"]
    assert line.timings_ms.keys() >= {"embed", "rerank", "total"}
    assert "P-17" not in line.getMessage()


async def test_the_log_has_a_question_only_where_a_setting_says_so(
    stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.http.tracing")
    async with serving(settings_over(stack, tmp_path, server={"log_questions": True})) as http:
        assert (await http.post("/ask", json=ASK)).status_code == 404
    (line,) = caplog.records
    assert (line.question, line.outcome) == (ASK["question"], "NotFoundError")


async def test_an_answer_says_whether_it_is_quoted_or_worded(stack: Stack, tmp_path: Path) -> None:
    end = CHUNK.replace('"Ana Ruiz "', '"replaced it."').replace("null", '"stop"')
    with babbling(f"data: {end}\n\ndata: [DONE]\n\n".encode()) as url:
        worded = settings_over(stack, tmp_path, generate={"url": url}, ask={"evidence_sentences": 0})
        async with listening(worded) as http:
            await add(http, "pump", TEXTS["pump"])
            assert (await events_of(http, **ASK))[-1][1]["form"] == "worded"
    async with listening(settings_over(stack, tmp_path, generate={"url": NOBODY})) as http:
        assert (await events_of(http, **ASK))[-1][1]["form"] == "quoted"
        assert (await http.post("/ask", json=ASK)).json()["form"] == "quoted"
        none = await http.post("/ask", json={"question": "What is the boiling point of tungsten?"})
        assert (none.json()["answered"], none.json()["form"]) == (False, None)
