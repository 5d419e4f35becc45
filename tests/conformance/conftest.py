"""The servers that the suite runs against: CONFORMANCE_EMBED, _SCORE and _GENERATE, or our own.

    CONFORMANCE_SCORE=http://127.0.0.1:8100 pytest tests/conformance/test_scores.py      a vLLM server, say

The score server must hold ms-marco-MiniLM-L-12-v2, the embed server bge-small-en-v1.5, the generate server
SmolLM2-135M-Instruct, each as a bare folder, so that nothing but the weights says how to serve them. The model's name
on the wire is asked for. docs/compatibility.md lists what differs; the tests that hold for ours alone ask for `ours`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest

from services.settings import Settings
from services.weights.fetch import fetch_weights

STARTUP_S = 60.0
PRESETS = {
    "embed": "bge-small-en-v1.5-int8",
    "score": "ms-marco-MiniLM-L-12-v2-int8",
    "generate": "SmolLM2-135M-Instruct-Q4_1",
}


@contextmanager
def server(task: str) -> Iterator[str]:
    """The URL of a server for the task."""
    given = os.environ.get(f"CONFORMANCE_{task.upper()}")
    if given:
        yield given.rstrip("/")
        return
    folder = fetch_weights(PRESETS[task], Settings.load().cache_dir)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "serve", str(folder), "--task", task, "--port", str(port)]
    )
    try:
        _wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTUP_S
    with httpx2.Client(base_url=url, verify=False) as client:
        while time.monotonic() < until and process.poll() is None:
            with suppress(httpx2.TransportError):
                if client.get("/health").is_success:
                    return
            time.sleep(0.05)
    pytest.fail(f"no server at {url}")


@pytest.fixture(scope="session")
def score() -> Iterator[httpx2.Client]:
    with server("score") as url, httpx2.Client(base_url=url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def embed() -> Iterator[httpx2.Client]:
    with server("embed") as url, httpx2.Client(base_url=url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def generate() -> Iterator[httpx2.Client]:
    with server("generate") as url, httpx2.Client(base_url=url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def ours(request: pytest.FixtureRequest) -> bool:
    """Whether the servers are ragline's: what we do beyond vLLM is tested then too."""
    del request
    return not any(name.startswith("CONFORMANCE_") for name in os.environ)
