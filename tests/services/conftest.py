"""The bundled models, and real servers of them on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from services.generate.folder import GeneratorFolder, read_folder
from services.settings import Settings
from services.weights.fetch import fetch_weights

STARTUP_S = 180.0
Launch = Callable[..., "Served"]


class Served:
    """One server process."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    def client(self, **options) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60.0, verify=False, **options)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    @property
    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def serving(log: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """`python -m services serve ARGUMENTS` on a free port, healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "services", "serve", *arguments, "--port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
    served = Served(process, f"http://127.0.0.1:{port}", log)
    try:
        _until_healthy(served)
        yield served
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _until_healthy(served: Served) -> None:
    until = time.monotonic() + STARTUP_S
    with served.client() as client:
        while time.monotonic() < until:
            if served.process.poll() is not None:
                pytest.fail(f"the server ended with {served.process.returncode}:\n{served.log.read_text()}")
            with suppress(httpx2.TransportError):
                if client.get("/health", timeout=5.0).is_success:
                    return
            time.sleep(0.05)
    pytest.fail(f"no server within {STARTUP_S:.0f} s:\n{served.log.read_text()}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def embed_folder() -> Path:
    return fetch_weights("bge-small-en-v1.5-int8", Settings.load().cache_dir)


@pytest.fixture(scope="session")
def score_folder() -> Path:
    return fetch_weights("ms-marco-MiniLM-L-12-v2-int8", Settings.load().cache_dir)


@pytest.fixture(scope="session")
def generate_folder() -> Path:
    return fetch_weights("SmolLM2-135M-Instruct-Q4_1", Settings.load().cache_dir)


@pytest.fixture(scope="session")
def folder(generate_folder: Path) -> GeneratorFolder:
    return read_folder(generate_folder)


@pytest.fixture(scope="session")
def embed_server(embed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("embed") / "log", "--task", "embed") as served:
        yield served


@pytest.fixture(scope="session")
def score_server(score_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("score") / "log", "--task", "score") as served:
        yield served


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Starts servers of one's own; they are ended with the session, or by `stop`."""
    with ExitStack() as stack:

        def start(*arguments: str, **env: str) -> Served:
            log = tmp_path_factory.mktemp("server") / "log"
            return stack.enter_context(serving(log, *arguments, env=env))

        yield start


@pytest.fixture(scope="session")
def embed(embed_server: Served) -> Iterator[httpx2.Client]:
    with embed_server.client() as client:
        yield client


@pytest.fixture(scope="session")
def score(score_server: Served) -> Iterator[httpx2.Client]:
    with score_server.client() as client:
        yield client
