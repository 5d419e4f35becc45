"""Under load for minutes: memory stays, and small requests are not starved by a large one. `make test-slow`."""

import concurrent.futures
import json
import random
import select
import socket
import threading
import time

import httpx2
import numpy as np
import pytest

pytestmark = pytest.mark.slow

WORDS = ["the", "capital", "of", "France", "is", "Paris", "river", "Seine", "long", "before", "Rome", "people", "lived"]


def text(words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


def test_memory_is_steady_over_ten_thousand_requests(launch):
    served = launch("--task", "embed")
    resident = []
    with served.client() as client, concurrent.futures.ThreadPoolExecutor(8) as threads:

        def ask(_):
            inputs = [text(random.randint(1, 30)) for _ in range(random.randint(1, 4))]
            return client.post("/v1/embeddings", json={"input": inputs}).status_code

        for _ in range(10):
            assert set(threads.map(ask, range(1000))) == {200}
            resident.append(served.rss_mb)
    print(f"resident after each 1,000 requests, MB: {[round(mb) for mb in resident]}")
    assert resident[-1] < resident[2] * 1.05


def test_a_request_of_one_beside_one_of_five_thousand(launch):
    served = launch("--task", "score")
    large = {"queries": text(8), "documents": [text(90) for _ in range(5000)]}
    small = {"queries": text(8), "documents": [text(90)]}
    with served.client() as client:
        alone = [_timed(client, small) for _ in range(20)]
        worker = threading.Thread(target=_until_cut_off, args=(served, large), daemon=True)
        worker.start()
        time.sleep(3)
        beside = [_timed(client, small) for _ in range(100)]
        assert worker.is_alive(), "the hundred small requests were answered while the large one ran"
    p50, p99 = np.percentile(beside, [50, 99]) * 1000
    print(f"alone {np.median(alone) * 1000:.0f} ms; beside 5,000 documents p50 {p50:.0f} ms, p99 {p99:.0f} ms")


def _timed(client: httpx2.Client, body) -> float:
    began = time.perf_counter()
    assert client.post("/score", json=body).status_code == 200
    return time.perf_counter() - began


def _until_cut_off(served, body):
    with served.client() as client:
        try:
            client.post("/score", json=body, timeout=600)
        except httpx2.HTTPError:
            return


def test_a_body_may_come_slowly_and_not_for_ever(launch):
    """40 s for 5 MB is a thin line; a byte a second is nobody's."""
    served = launch("--task", "embed", RAGLINE_EMBED__MAX_BODY_BYTES=str(8 * 2**20))
    body = json.dumps({"input": "a short text", "user": "u" * 5_000_000}).encode()
    with concurrent.futures.ThreadPoolExecutor() as threads, served.client() as client:
        thin = threads.submit(status_of, httpx2.URL(served.url).port, body, piece=131_072)
        drip = threads.submit(status_of, httpx2.URL(served.url).port, body, piece=1)
        while not (thin.done() and drip.done()):
            client.post("/v1/embeddings", json={"input": "beside them"}).raise_for_status()
            time.sleep(0.5)
    assert thin.result() == 200
    assert drip.result() == 408
    served.stop()


def status_of(port, body: bytes, *, piece: int) -> int:
    """Of the answer to a body of which `piece` bytes a second are sent, until there is one."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        for start in range(0, len(body), piece):
            connection.sendall(body[start : start + piece])
            if select.select([connection], [], [], 1.0)[0]:
                break
        return int(connection.recv(4096).split()[1])
