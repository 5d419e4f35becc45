"""A service that hangs costs each question its share of the time, and soon nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from app.answer.breaker import FAILURES, Breaker
from services.client import ScoreClient
from services.errors import OverloadedError, UnavailableError
from services.settings import ScoreSettings
from tests.app.http.test_server import ASK, TEXTS, add, serving, settings_over
from tests.conftest import Stack
from tests.services.conftest import serving as service

pytestmark = pytest.mark.anyio
DEADLINE_S = 20.0


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """It accepts connections, and never answers."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def test_a_stopped_cross_encoder_costs_neither_the_answer_nor_every_question_its_time(
    stack: Stack, tmp_path: Path
) -> None:
    with service(tmp_path / "log", "--task", "score") as score:
        settings = settings_over(
            stack, tmp_path, score={"url": score.url}, ask={"deadline_s": DEADLINE_S, "cache_entries": 0}
        )
        async with serving(settings) as http:
            await add(http, "pump", TEXTS["pump"])
            assert (await http.post("/ask", json=ASK)).json()["degraded"] == []
            with stopped(score.process):
                bodies = [(await http.post("/ask", json=ASK)).json() for _ in range(FAILURES + 2)]
            with anyio.fail_after(60):
                while (await http.post("/ask", json=ASK)).json()["degraded"]:
                    await anyio.sleep(0.2)
    for body in bodies:
        assert body["degraded"] == ["rerank", "evidence"]
        assert body["answered"]
        assert "did not answer within" in body["warnings"][0] or "left alone" in body["warnings"][0]
        assert body["timings_ms"]["rerank"] < DEADLINE_S * 1000 / 2
    assert ["left alone" in body["warnings"][0] for body in bodies] == [False] * FAILURES + [True] * 2


@pytest.mark.slow
async def test_a_stopped_generator_is_left_alone_too(stack: Stack, tmp_path: Path) -> None:
    with service(tmp_path / "log", "--task", "generate") as generate:
        settings = settings_over(
            stack, tmp_path, generate={"url": generate.url}, ask={"deadline_s": DEADLINE_S, "cache_entries": 0}
        )
        async with serving(settings) as http:
            await add(http, "pump", TEXTS["pump"])
            assert (await http.post("/ask", json=ASK)).json()["degraded"] == []
            with stopped(generate.process):
                bodies = [(await http.post("/ask", json=ASK)).json() for _ in range(FAILURES + 1)]
    assert [body["degraded"] for body in bodies] == [["generate"]] * len(bodies)
    assert [body["finish_reason"] for body in bodies] == ["quoted"] * len(bodies)
    assert ["left alone" in body["warnings"][0] for body in bodies] == [False] * FAILURES + [True]


async def test_an_open_circuit_lets_one_caller_probe_and_closes_when_it_succeeds(tmp_path: Path) -> None:
    with service(tmp_path / "log", "--task", "score") as score:
        client = ScoreClient(ScoreSettings(url=score.url))
        breaker = Breaker(client)
        for _ in range(FAILURES):
            with pytest.raises(UnavailableError, match="gone"):
                async with breaker.guard():
                    raise UnavailableError("gone")
        with pytest.raises(UnavailableError, match="left alone"):
            async with breaker.guard():
                raise AssertionError("an open circuit makes no call")
        breaker._resumes_at = time.monotonic()
        async with breaker.guard():
            with pytest.raises(UnavailableError, match="left alone"):
                async with breaker.guard():
                    raise AssertionError("one probe at a time")
        async with breaker.guard(), breaker.guard():
            pass
        await client.aclose()


async def test_a_service_that_refuses_is_not_away(tmp_path: Path) -> None:
    breaker = Breaker(ScoreClient(ScoreSettings(url="http://127.0.0.1:9")))
    for _ in range(FAILURES * 2):
        with pytest.raises(OverloadedError):
            async with breaker.guard():
                raise OverloadedError("its queue is full")
    async with breaker.guard():
        pass


@pytest.mark.slow
def test_up_restarts_what_hangs_and_keeps_its_logs_short(tmp_path: Path) -> None:
    ports = {f"RAGLINE_{name}__PORT": "0" for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
    limits = {"RAGLINE_UP__HANG_S": "8", "RAGLINE_UP__LOG_BYTES": "2000"}
    env = {**os.environ, **ports, **limits, "RAGLINE_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "app", "up"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as up:
        try:
            _until(lambda: "ragline is up" in (tmp_path / "log").read_text())
            score = _child(up, "--task score")
            service_log = tmp_path / "data" / "logs" / "score.log"
            with service_log.open("a") as written:
                written.write("a line that is kept once\n" * 200)
            os.kill(score, signal.SIGSTOP)
            _until(lambda: _child(up, "--task score") not in (0, score))
            assert "score has not answered for 8 s" in (tmp_path / "log").read_text()
            _until(lambda: "a line that is kept" in Path(f"{service_log}.1").read_text())
            assert service_log.stat().st_size < 2000
            address = (tmp_path / "log").read_text().split("Chat page: ")[1].split()[0]
            _until(lambda: httpx2.get(f"{address}/health/ready", timeout=10).json()["services"]["score"])
        finally:
            up.send_signal(signal.SIGINT)


def _child(up: "subprocess.Popen[bytes]", argument: str) -> int:
    """The process id of a child; 0 where there is none."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(up.pid)], capture_output=True, text=True, check=False
    )
    return next((int(line.split()[0]) for line in listed.stdout.splitlines() if argument in line), 0)


def _until(holds) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            if holds():
                return
        except (OSError, httpx2.HTTPError):
            pass
        assert time.monotonic() < until
        time.sleep(0.2)
