"""Floods of one kind of request leave room for the others, and what is admitted is answered."""

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Lock
from typing import Any

import anyio
import httpx2
import pytest

from tests.app.http.test_server import ASK, TEXTS, add, answering, serving, settings_over
from tests.conftest import Stack

pytestmark = pytest.mark.anyio
LIMIT = 256 * 2**10  # server.max_question_bytes


@pytest.mark.parametrize("path", ["/ask", "/search", "/collections"])
async def test_a_body_over_the_limit_of_questions_is_refused_before_it_is_read(
    stack: Stack, tmp_path: Path, path: str
) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        yield b'{"messages": [{"role": "user", "content": "x"}'
        while True:
            read += 1
            yield b', {"role": "user", "content": "x"}' * 1000

    async with serving(settings_over(stack, tmp_path)) as http:
        declared = await http.post(path, content=b'{"question": "' + b"x" * 38_000_000 + b'"}')
        endless = await http.post(path, content=body())
    for answer in (declared, endless):
        assert answer.status_code == 413
        assert "server.max_question_bytes" in answer.json()["error"]["message"]
    assert read <= LIMIT // 34_000 + 1


@pytest.mark.parametrize("message", ['{"role": "user", "content": "x"}', "{}"])
async def test_a_conversation_has_a_bounded_number_of_messages(stack: Stack, tmp_path: Path, message: str) -> None:
    body = '{"messages": [' + ", ".join([message] * (LIMIT // (len(message) + 2) - 20)) + "]}"
    async with serving(settings_over(stack, tmp_path)) as http:
        answer = await http.post("/ask", content=body, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"].split(".")[:2]) == (400, ["body", "messages"])
    assert error["message"].startswith("1 validation error:")


async def test_bodies_that_come_slowly_keep_nobody_out(stack: Stack, tmp_path: Path) -> None:
    url = httpx2.URL(stack.addresses["server"])
    head = f"POST /ask HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Length: 100\r\n\r\n{{"
    with ExitStack() as sockets:
        for _ in range(80):
            slow = sockets.enter_context(socket.create_connection((url.host, url.port or 80)))
            slow.sendall(head.encode())
        async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
            answers = [await http.post("/search", json={"query": "pump"}), await http.post("/ask", json=ASK)]
    assert {answer.status_code for answer in answers} <= {200, 404}, "404: nothing is indexed yet"


@contextmanager
def slow_scorer(seconds: float, ids: list[str | None] | None = None) -> Iterator[str]:
    """The address of a cross-encoder that reads one request at a time, each this long; `ids` gets each X-Request-Id."""
    one_at_a_time = Lock()

    class Scores(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            pairs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["documents"]
            if ids is not None:
                ids.append(self.headers["X-Request-Id"])
            with one_at_a_time:
                time.sleep(seconds)
            body = json.dumps({"data": [{"index": i, "score": -i} for i in range(len(pairs))]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with answering(Scores) as url:
        yield url


async def test_what_cannot_be_answered_in_time_is_refused_with_the_time_to_come_back(
    stack: Stack, tmp_path: Path
) -> None:
    """At two a second, 5 s have room for ten: the rest is told when, one after the other."""
    answers: list[httpx2.Response] = []
    with slow_scorer(0.5) as url:
        settings = settings_over(stack, tmp_path, score={"url": url}, server={"latency_target_s": 5.0})
        async with serving(settings) as http:
            await add(http, "pump", TEXTS["pump"])

            async def search() -> None:
                answers.append(await http.post("/search", json={"query": "pump"}))

            await search()
            answers.clear()
            async with anyio.create_task_group() as group:
                for _ in range(40):
                    group.start_soon(search)
            upload = await http.post("/documents", json={"id": "tower", "text": TEXTS["tower"]})
    taken = [answer.json() for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 4 <= len(taken) <= 10
    assert len(refused) == 40 - len(taken)
    assert all(body["degraded"] == [] for body in taken)
    waits = [int(answer.headers["Retry-After"]) for answer in refused]
    assert waits == sorted(waits)
    assert len(refused) / 2 - 1 <= waits[-1] <= 60
    assert upload.status_code == 202


async def test_searches_have_places_while_questions_have_none(stack: Stack, tmp_path: Path) -> None:
    """A generator that accepts and never answers holds the questions."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        held = {"generate": {"url": f"http://127.0.0.1:{port}"}, "server": {"max_concurrent": 3}}
        async with serving(settings_over(stack, tmp_path, **held)) as http, anyio.create_task_group() as group:
            await add(http, "pump", TEXTS["pump"])
            for _ in range(3):
                group.start_soon(_ask, http)
            with anyio.fail_after(30):
                while "ragline_requests_running 3.0" not in (await http.get("/metrics")).text:
                    await anyio.sleep(0.05)
            assert (await http.post("/ask", json=ASK)).status_code == 429
            assert (await http.post("/search", json={"query": "pump"})).status_code == 200
            await add(http, "tower", TEXTS["tower"])
            group.cancel_scope.cancel()


async def _ask(http: httpx2.AsyncClient) -> Any:
    return await http.post("/ask", json=ASK)
