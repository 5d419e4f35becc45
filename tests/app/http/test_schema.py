"""Whatever the schema allows is answered with a documented status and body, and never with a 5xx."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.conftest import START_S, Stack

CHECKS = [schemathesis.checks.not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.fixture
def orchestrator(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """The address of one over a folder of its own, which may be filled with anything."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    urls = {f"RAGLINE_{name.upper()}__URL": stack.addresses[name] for name in ("embed", "score", "generate")}
    env = {**os.environ, **urls, "RAGLINE_DATA_DIR": str(tmp_path), "RAGLINE_SERVER__PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "app", "orchestrate"], env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_S
        while not _lives(url):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _lives(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/live").is_success
    except httpx2.TransportError:
        return False


def test_every_route_keeps_to_the_schema(orchestrator: str) -> None:
    schema = schemathesis.openapi.from_url(f"{orchestrator}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/ask", "/search", "/documents", "/collections"}
    for operation in operations:
        _fuzz(operation)
    stream = schema["/ask"]["POST"].Case(body={"question": "Is it?", "stream": True}, media_type="application/json")
    httpx2.post(f"{orchestrator}/collections", json={"name": "default"})
    accepted = httpx2.post(f"{orchestrator}/documents", json={"text": "It is.", "collection": "default"}).json()
    while httpx2.get(f"{orchestrator}/jobs/{accepted['job_id']}").json()["state"] == "running":
        time.sleep(0.1)
    answer = stream.call_and_validate(checks=CHECKS, timeout=60)
    assert answer.headers["content-type"][0].startswith("text/event-stream")


def _fuzz(operation: schemathesis.schemas.APIOperation) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def ask(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and operation.path == "/ask":
            case.body["max_tokens"] = 4
        case.call_and_validate(checks=CHECKS, timeout=60)

    ask()
