"""What a service lets in: key, limits, overload, clients that leave, drain. Each server here is a process."""

import concurrent.futures
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from services.http.api_key import check_address
from services.settings import ServiceSettings

KEY = "a-key-of-the-test"
PAIR = {"text_1": "a", "text_2": "b"}


def slow(documents: int, words: int = 300) -> dict[str, object]:
    return {"queries": "what is a word", "documents": ["word " * words] * documents}


@pytest.fixture(scope="module")
def strict(launch):
    """A server beyond loopback, with a key and narrow limits."""
    return launch(
        "--task",
        "score",
        "--host",
        "0.0.0.0",
        RAGLINE_SCORE__API_KEY=KEY,
        RAGLINE_SCORE__MAX_BODY_BYTES="100000",
        RAGLINE_SCORE__MAX_DOCUMENTS="50",
        RAGLINE_SCORE__MAX_CHARS="5000",
        RAGLINE_SCORE__MAX_QUEUE_TOKENS="6000",
        RAGLINE_SCORE__MAX_CONCURRENT="6",
    )


@pytest.fixture
def keyed(strict):
    with strict.client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.mark.parametrize("given", [None, "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x"])
def test_no_route_but_the_probes_answers_without_the_key(strict, given):
    headers = {"Authorization": given} if given else {}
    paths = ["/score", "/rerank", "/v2/rerank", "/classify", "/pooling", "/tokenize", "/invocations", "/detokenize"]
    with strict.client(headers=headers) as client:
        for path in paths:
            assert client.post(path, json=PAIR).status_code == 401, path
        for path in ("/v1/models", "/version", "/load", "/openapi.json", "/tokenizer.json", "/nope"):
            assert client.get(path).status_code == 401, path
        for path in ("/health", "/ping", "/metrics"):
            assert client.get(path).status_code == 200, path
        error = client.get("/v1/models").json()["error"]
    assert (error["type"], error["code"]) == ("AuthenticationError", 401)


def test_made_up_methods_are_counted_as_one(strict):
    with strict.client() as client:
        for number in range(20):
            assert client.request(f"M{number}", "/score").status_code == 401
        counted = [line for line in client.get("/metrics").text.splitlines() if line.startswith("http_requests_total")]
    assert not [line for line in counted if 'method="M' in line]
    assert any('method="other"' in line and line.endswith(" 20.0") for line in counted)


@pytest.mark.parametrize(
    ("body", "status", "limit"),
    [
        ({"queries": "a", "documents": ["x" * 4000] * 30}, 413, "max_body_bytes = 100000"),
        ({"queries": "a", "documents": ["b"] * 51}, 413, "max_documents = 50"),
        ({"queries": "a", "documents": ["b" * 5001]}, 413, "max_chars = 5000"),
        ({"queries": "a", "documents": ["word " * 200] * 40}, 413, "max_queue_tokens = 6000"),
    ],
)
def test_each_limit_is_named(keyed, body, status, limit):
    answer = keyed.post("/score", json=body)
    assert answer.status_code == status
    assert limit in answer.json()["error"]["message"]
    assert keyed.post("/score", json=PAIR).status_code == 200


@pytest.mark.parametrize("body", [b'{"queries": "\xff"}', b'{"queries": ' + b"[" * 40_000 + b"]" * 40_000 + b"}"])
def test_a_body_that_is_not_read_is_the_clients_fault(keyed, body):
    answer = keyed.post("/score", content=body, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"], error["param"]) == (400, 400, "Bad Request", None)
    assert error["message"]


def test_an_unknown_path_and_a_wrong_method_answer_as_fastapi_does(keyed):
    assert keyed.get("/nope").json() == {"detail": "Not Found"}
    for name in ("nope", "a/b", "a%0Ab", "%3F%0A"):
        answer = keyed.get(f"/v1/models/{name}")
        assert (answer.status_code, list(answer.json())) == (404, ["error"])
    wrong = keyed.get("/score")
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
    assert wrong.headers["allow"] == "POST"


def test_a_chunked_body_is_counted_too(keyed):
    chunks = (b" " * 1000 for _ in range(200))
    answer = keyed.post("/score", content=chunks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_overload_is_429_with_retry_after(keyed):
    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: keyed.post("/score", json=slow(8)), range(24)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["type"] == "RateLimitError"
    assert keyed.post("/score", json=PAIR).status_code == 200


def test_what_is_in_flight_and_what_runs_is_told(strict, keyed):
    names = ("http_requests_in_flight", "vllm:num_requests_running")

    def told() -> tuple[float, ...]:
        lines = dict(line.rsplit(" ", 1) for line in keyed.get("/metrics").text.splitlines() if line[0] != "#")
        return tuple(float(lines[f'{name}{{model_name="ms-marco-MiniLM-L-12-v2-int8"}}']) for name in names)

    assert told() == (0, 0)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(keyed.post, "/score", json=slow(15))
        seen = {told()}
        while not running.done():
            seen.add(told())
        assert running.result().status_code == 200
    assert (1, 1) in seen
    until = time.monotonic() + 10  # the place is given back just after the answer's last byte
    while told() != (0, 0):
        assert time.monotonic() < until


def test_clients_that_leave_take_their_work_along(strict, keyed):
    gauge = 'te_queue_tokens{model_name="ms-marco-MiniLM-L-12-v2-int8"}'

    def leave(_):
        with strict.client(headers=keyed.headers, trust_env=False) as client:
            try:
                client.post("/score", json=slow(15), timeout=random.uniform(0.01, 0.2))
            except httpx2.TimeoutException:
                return True
        return False

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        left = sum(threads.map(leave, range(64)))
    assert left > 6, "the rest was refused, as it should be"
    until = time.monotonic() + 30
    while time.monotonic() < until and keyed.get("/load").json()["server_load"]:
        time.sleep(0.05)
    assert keyed.post("/score", json=PAIR).status_code == 200
    assert f"{gauge} 0.0" in keyed.get("/metrics").text


def test_half_closed_and_silent_sockets_hold_up_nobody(strict, keyed):
    host, port = strict.url.removeprefix("http://").split(":")
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n".encode()
    sockets = [socket.create_connection((host, int(port))) for _ in range(20)]
    for i, connection in enumerate(sockets):
        connection.sendall(head[: len(head) // 2] if i % 2 else b"")
    half = socket.create_connection((host, int(port)))
    half.sendall(head + b"{")
    half.shutdown(socket.SHUT_WR)
    assert keyed.post("/score", json=PAIR).status_code == 200
    for connection in [*sockets, half]:
        connection.close()
    assert keyed.post("/score", json=PAIR).status_code == 200


def test_sigterm_drains(launch):
    served = launch("--task", "score")
    with served.client() as client, concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(httpx2.post, f"{served.url}/score", json=slow(15), timeout=60)
        while not client.get("/load").json()["server_load"]:
            time.sleep(0.01)
        served.process.send_signal(signal.SIGTERM)
        while client.get("/health").status_code == 200:
            time.sleep(0.01)
        refused = client.post("/score", json=PAIR)
        assert refused.status_code == 503
        assert "Retry-After" in refused.headers
        assert running.result().status_code == 200
    assert served.process.wait(10) == 0


def test_what_runs_past_the_drain_is_told(launch):
    served = launch("--task", "score", RAGLINE_SCORE__DRAIN_S="0.5")
    with served.client() as client, concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(httpx2.post, f"{served.url}/score", json=slow(200), timeout=60)
        while not client.get("/load").json()["server_load"]:
            time.sleep(0.01)
        assert served.stop() == 0
        answer = running.result()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["type"] == "ServiceUnavailableError"
    assert "Traceback" not in served.log.read_text()


def test_beyond_loopback_only_with_a_key(launch):
    with pytest.raises(pytest.fail.Exception, match="reachable from other machines"):
        launch("--task", "embed", "--host", "0.0.0.0")
    check_address(ServiceSettings(host="0.0.0.0", allow_insecure=True))


def test_start_up_is_light(embed_server, score_server):
    for served, most in ((embed_server, 400), (score_server, 450)):
        assert served.rss_mb < most
        assert "torch" not in Path(f"/proc/{served.process.pid}/maps").read_text()


def test_a_dead_engine_ends_the_service_unhealthy(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, Path(__file__).with_name("dying.py"), str(port)], stderr=log)
    url, answers = f"http://127.0.0.1:{port}", []
    while not answers:
        with suppress(httpx2.TransportError):
            answers.append(httpx2.get(f"{url}/health").status_code)
    answers += [httpx2.post(f"{url}/ask", json={}).status_code for _ in range(3)]
    assert answers == [200, 200, 200, 500]
    with suppress(httpx2.TransportError):
        assert httpx2.get(f"{url}/health").status_code == 503
    assert process.wait(10) == 1
    assert "device lost" in (tmp_path / "log").read_text()
