"""One `ragline up` for the whole suite: real models, real processes, on free ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.addresses import read_addresses

START_S = 120.0


@dataclass(frozen=True)
class Stack:
    """The four processes; `addresses` by section: embed, score, generate, server.

    They and all commands are started in `folder`, among files with the names of modules; each that is run leaves a file
    NAME.was-run there.
    """

    process: subprocess.Popen[str]
    data_dir: Path
    folder: Path
    env: dict[str, str]
    addresses: dict[str, str]

    def ragline(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Another command over the same data_dir."""
        return subprocess.run(
            [RAGLINE, *arguments],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


RAGLINE = Path(sys.executable).with_name("ragline")
HOSTILE = ("app.py", "services/__init__.py", "indexing/__init__.py", "numpy.py", "queue.py", "pip.py")


def hostile_folder(folder: Path) -> Path:
    """Someone's documents, among them files that Python takes for modules where the folder is on its path.

    Each that is run leaves a file there, which `files_run` names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in HOSTILE:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        marker = folder / f"{name.replace('/', '-')}.was-run"
        file.write_text(f"open({str(marker)!r}, 'w').close()\nraise SystemExit('a file of the folder was run')\n")
    return folder


def files_run(folder: Path) -> list[str]:
    return sorted(file.name.removesuffix(".was-run") for file in folder.glob("*.was-run"))


@contextmanager
def ragline_up(folder: Path, env: dict[str, str]) -> Iterator[Stack]:
    """`ragline up`, started in a folder and waited for; ended as by Ctrl-C. `env` has a RAGLINE_DATA_DIR of its own."""
    data_dir = Path(env["RAGLINE_DATA_DIR"])
    data_dir.mkdir(exist_ok=True)
    log = data_dir / "up.log"
    with log.open("w") as output:
        process = subprocess.Popen([RAGLINE, "up"], cwd=folder, env=env, stdout=output, stderr=output, text=True)
    try:
        deadline = time.monotonic() + START_S
        while not (addresses := read_addresses(data_dir)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Stack(process, data_dir, folder, env, addresses)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("ragline")
    ports = {f"RAGLINE_{name}__PORT": "0" for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
    env = {**os.environ, **ports, "RAGLINE_DATA_DIR": str(data_dir), "COLUMNS": "200", "NO_COLOR": "1"}
    with ragline_up(hostile_folder(tmp_path_factory.mktemp("started-in")), env) as stack:
        yield stack


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Milvus that several processes may reach."""
    pytest.importorskip("milvus_lite", reason="the Milvus store is not tested: pip install -r requirements/milvus.txt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "import sys; from milvus_lite.cmdline import main; sys.exit(main())"
    data_dir = tmp_path_factory.mktemp("milvus-server")
    arguments = ("server", "--data-dir", str(data_dir / "data"), "--host", "127.0.0.1", "--port", str(port))
    with (data_dir / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while not answers(port):
            assert process.poll() is None, (data_dir / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
