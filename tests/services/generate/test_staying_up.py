"""Several at once, clients that go away, a full queue, an engine that dies."""

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path

import httpx2
import pytest

QUESTIONS = [f"Tell me about the number {n} in one sentence." for n in range(8)]


def body(question: str, **more) -> dict:
    return {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 24, **more}


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def gauge(client: httpx2.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)}{{.*}} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def until(condition, *, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.anyio
async def test_eight_streams_at_once_say_what_each_says_alone(generate_server):
    async with httpx2.AsyncClient(base_url=generate_server.url, timeout=120) as client:

        async def ask(question: str) -> str:
            text = ""
            async with client.stream("POST", "/v1/chat/completions", json=body(question, stream=True)) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        text += json.loads(line[6:])["choices"][0]["delta"]["content"]
            return text

        alone = [await ask(question) for question in QUESTIONS]
        together = await asyncio.gather(*map(ask, QUESTIONS))
    assert list(together) == alone
    assert len(set(alone)) > 1


def test_a_client_that_goes_away_frees_its_place(generate_server, client):
    endless = body("Count.", max_tokens=4000, ignore_eos=True, stream=True)
    for _ in range(12):
        with client.stream("POST", "/v1/chat/completions", json=endless) as response:
            next(response.iter_lines())
    with pytest.raises(httpx2.TimeoutException):
        client.post("/v1/chat/completions", json={**endless, "stream": False}, timeout=0.5)
    until(lambda: gauge(client, "vllm:num_requests_running") == 0)
    client.post("/v1/chat/completions", json=body("Say hi", max_tokens=1)).raise_for_status()
    until(lambda: gauge(client, "vllm:num_requests_running") == 0)


def test_what_was_generated_is_counted(client):
    before = gauge(client, "vllm:generation_tokens_total"), gauge(client, "vllm:prompt_tokens_total")
    usage = client.post("/v1/chat/completions", json=body("Say hi", max_tokens=5)).json()["usage"]
    after = gauge(client, "vllm:generation_tokens_total"), gauge(client, "vllm:prompt_tokens_total")
    assert after[0] - before[0] == usage["completion_tokens"]
    assert after[1] - before[1] == usage["prompt_tokens"]
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
        assert gauge(client, f"vllm:{name}_count") > 0


@pytest.fixture(scope="module")
def small(launch):
    """The cache has room for one request."""
    limits = {"MAX_MODEL_LEN": "512", "KV_CACHE_GB": "0.001", "MAX_QUEUE_TOKENS": "300"}
    return launch("--task", "generate", **{f"RAGLINE_GENERATE__{name}": value for name, value in limits.items()})


@pytest.mark.anyio
async def test_requests_in_flight_are_counted_apart_from_those_that_run(small):
    names = ("http_requests_in_flight", "vllm:num_requests_running", "vllm:num_requests_waiting")
    endless = body("Count. " * 20, max_tokens=400, ignore_eos=True)
    with small.client() as probe:
        async with httpx2.AsyncClient(base_url=small.url, timeout=120) as client:
            asked = [asyncio.create_task(client.post("/v1/chat/completions", json=endless)) for _ in range(4)]
            for left in (4, 3):
                async with asyncio.timeout(20):
                    while [gauge(probe, name) for name in names] != [left, 1, left - 1]:
                        await asyncio.sleep(0.02)
                asked[left - 1].cancel()
            for each in asked:
                each.cancel()
        until(lambda: not any(gauge(probe, name) for name in names))


@pytest.mark.slow
@pytest.mark.anyio
async def test_past_a_full_queue_there_is_a_429(small):
    async with httpx2.AsyncClient(base_url=small.url, timeout=120) as client:
        asked = [body(f"{n} " + "word " * 60, max_tokens=40, ignore_eos=True) for n in range(12)]
        answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=each) for each in asked))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    full = answers[statuses.index(429)]
    assert int(full.headers["retry-after"]) >= 1
    assert "max_queue_tokens is 300" in full.json()["error"]["message"]


def test_an_engine_that_dies_comes_back_and_one_that_only_dies_ends_the_service(launch):
    served = launch("--task", "generate")
    endless = body("Count.", max_tokens=4000, ignore_eos=True, stream=True)
    with served.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=endless) as response:
            lines = response.iter_lines()
            next(lines)
            os.kill(children(served.process.pid)[0], signal.SIGKILL)
            *_, error, end = [line for line in lines if line]
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == 500
        assert end == "data: [DONE]"
        again = client.post("/v1/chat/completions", json=body("What is the capital of France?"))
        assert again.json()["choices"][0]["message"]["content"] == "The capital of France is Paris."
        assert client.get("/health").status_code == 200
    for _ in range(3):
        until(lambda: children(served.process.pid))
        engine = children(served.process.pid)[0]
        os.kill(engine, signal.SIGKILL)
        until(lambda engine=engine: engine not in children(served.process.pid))
    assert served.process.wait(20) == 1
    assert "3 times in a row" in served.log.read_text()
