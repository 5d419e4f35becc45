"""Servers to compare: ours, those of a `peer` script (vLLM, Infinity), or any that already run."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx2

Task = Literal["embed", "score", "generate"]
FOLDERS: dict[Task, str] = {"embed": "bge-small", "score": "ms-marco-l12", "generate": "smollm2"}
"""What `peer models` calls the model of each task."""
SERVES: dict[str, tuple[Task, ...]] = {"vllm": ("embed", "score", "generate"), "infinity": ("embed", "score")}
STARTUP_S = 300.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that is up. ready_s and memory_mb are None where it was up before."""

    name: str
    http: httpx2.AsyncClient
    model: str
    ready_s: float | None = None
    pid: int | None = None

    @property
    def memory_mb(self) -> float | None:
        """Resident memory of the process and all that it started, pages that they share counted once."""
        return None if self.pid is None else sum(_pss_kb(pid) for pid in _tree(self.pid)) / 1024


@dataclass(slots=True)
class Peers:
    """The `peer` script and the folder that its `models` made; or URLs of servers: {"vllm": "http://..."}."""

    script: Path | None = None
    models: Path | None = None
    urls: dict[str, str] = field(default_factory=dict)

    def names(self, task: Task) -> list[str]:
        if self.script is None:
            return list(self.urls)
        return [name for name, tasks in SERVES.items() if task in tasks and _is_installed(name)]

    def command(self, name: str, task: Task, port: int) -> list[str]:
        return [str(self.script), "serve", name, str((self.models or Path()) / FOLDERS[task]), str(port)]


@contextmanager
def ours(task: Task, log: Path) -> Iterator[Contender]:
    """Our service of the current profile, with weights that are cached."""
    port = _free_port()
    command = [sys.executable, "-m", "services", "serve", "--task", task, "--port", str(port)]
    with _served("ragline", command, port, log) as contender:
        yield contender


@contextmanager
def peer(name: str, task: Task, peers: Peers, log: Path) -> Iterator[Contender]:
    if name in peers.urls:
        yield Contender(name, _client(peers.urls[name]), _model(peers.urls[name]))
        return
    port = _free_port()
    with _served(name, peers.command(name, task, port), port, log) as contender:
        yield contender


@contextmanager
def _served(name: str, command: list[str], port: int, log: Path) -> Iterator[Contender]:
    began = time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url, log)
        yield Contender(name, _client(url), _model(url), time.monotonic() - began, process.pid)
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + STARTUP_S
    with httpx2.Client(base_url=url, timeout=5) as http:  # one: making it costs more than asking
        while time.monotonic() < until and process.poll() is None:
            try:
                if http.get("/health").is_success:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
    raise SystemExit(f"no server at {url}; its log:\n{log.read_text(errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
        return


def _client(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, timeout=600, limits=httpx2.Limits(max_connections=64))


def _model(url: str) -> str:
    for path in ("/v1/models", "/models"):
        answer = httpx2.get(url + path, timeout=30)
        if answer.is_success:
            return str(answer.json()["data"][0]["id"])
    raise SystemExit(f"{url} does not list its models")


def _is_installed(name: str) -> bool:
    venvs = Path(os.environ.get("PEER_VENVS", Path.home() / ".cache/peers"))
    return shutil.which({"infinity": "infinity_emb"}.get(name, name), path=venvs / name / "bin") is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _pss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
