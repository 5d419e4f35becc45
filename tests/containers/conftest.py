"""The compose files, run for real: a Docker engine builds and starts what a user gets."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

ROOT = Path(__file__).parent.parent.parent
GPU = ("docker-compose.yml",)
CPU = ("docker-compose.yml", "deploy/compose.cpu.yml")
START_S = 900
"""With nothing cached: the base image, 250 MB of libraries, 160 MB of weights."""

HANDBOOK = "# Staff handbook\n\n## Holidays\n\nEmployees get 27 days of paid leave a year.\n"
PUMPS = "Pump P-17 was replaced in March 2024 by Ana Ruiz. Its pressure limit is 8 bar.\n"


@dataclass(frozen=True)
class Compose:
    """`docker compose` over these files, as a project of its own."""

    files: tuple[str, ...]
    env: dict[str, str]
    project: str = "ragline-test"

    def __call__(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> str:
        files = [part for file in self.files for part in ("-f", file)]
        command = ["docker", "compose", "-p", self.project, "--progress", "plain", *files, *arguments]
        env = {**os.environ, "COMPOSE_DISABLE_ENV_FILE": "1", **self.env}
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
        return done.stdout

    def config(self) -> dict[str, Any]:
        return dict(json.loads(self("--profile", "tools", "config", "--format", "json")))

    def python(self, service: str, program: str) -> str:
        """What a program prints that runs in a service's container, as its user."""
        return self("exec", "-T", service, "python", "-c", program).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        container = self("ps", "-aq", service).strip()
        found = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
        return dict(json.loads(found.stdout)[0])


@dataclass(frozen=True)
class Containers:
    """The CPU variant, up and healthy, with HANDBOOK and PUMPS indexed."""

    compose: Compose
    address: str

    def ask(self, question: str) -> dict[str, Any]:
        answer = httpx2.post(f"{self.address}/ask", json={"question": question}, timeout=120).raise_for_status()
        return dict(answer.json())


def missing(*command: str) -> str:
    """Why a command of Docker's cannot be used; "" when it can."""
    try:
        done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
    except OSError as exc:
        return f"docker cannot be run: {exc}"
    return done.stderr.strip()[-300:] if done.returncode else ""


@pytest.fixture(scope="session", autouse=True)
def _compose_is_there() -> None:
    if reason := missing("compose", "version"):
        pytest.skip(f"NOT TESTED, install Docker Compose v2.24 or newer: {reason}")


@pytest.fixture(scope="module", params=[GPU, CPU], ids=["gpu", "cpu"])
def variant(request: pytest.FixtureRequest) -> Compose:
    return Compose(request.param, {})


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    if reason := missing("info"):
        pytest.skip(f"NOT TESTED, no Docker engine answers: {reason}")
    folder = tmp_path_factory.mktemp("documents")
    folder.chmod(0o755)
    (folder / "handbook.md").write_text(HANDBOOK)
    (folder / "pumps.txt").write_text(PUMPS)
    port = _free_port()
    compose = Compose(CPU, {"DOCS": str(folder), "PORT": str(port)})
    try:
        compose("up", "--detach", "--build", "--wait", timeout_s=START_S)
        compose("run", "--rm", "-T", "index")
        yield Containers(compose, f"http://127.0.0.1:{port}")
    finally:
        compose("down", "--volumes", check=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
