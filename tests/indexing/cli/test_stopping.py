"""`ragline index` is stopped while its parser is ahead of it: a file of many batches, and a full pipe."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.indexing.cli.test_cli import ROOT, RUN, environment

__all__ = ["environment"]
PATIENCE_S = 90.0


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Records that fill six batches of a parser, each of them larger than the pipe."""
    path = tmp_path / "large.jsonl"
    records = ({"_id": str(i), "text": f"Sentence {i} is here. " * 50} for i in range(6000))
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid: int) -> list[Path]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path("/proc", each) for each in listed]


@contextmanager
def started(environment: dict[str, str], *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN, "index", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def until_a_parser_waits(pid: int) -> None:
    """Until the processor time of its children stands still: the pipe is full."""
    seen: list[list[str]] = []

    def stands_still() -> bool:
        seen.append([" ".join((child / "stat").read_text().split()[13:15]) for child in children(pid)])
        return len(seen) > 20 and all(each == seen[-1] for each in seen[-20:])

    until(stands_still)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its status, output and errors; none of its children may be left."""
    before = children(process.pid)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert before
    until(lambda: not any(child.exists() for child in before))
    return process.returncode, output, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(environment, embed_server, large, number) -> None:
    embed_server.delay_s = 0.3
    with started(environment, large) as process:
        until(lambda: embed_server.texts[1:])
        until_a_parser_waits(process.pid)
        process.send_signal(number)
        status, output, errors = ended(process)
    assert (status, errors) == (128 + number, "")
    assert "Stopped. What was indexed so far is kept" in output


def test_a_pipe_is_refused_and_not_waited_for(environment, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with started(environment, tmp_path / "pipe.txt") as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert f"{tmp_path / 'pipe.txt'}: not a regular file" in output


def test_a_second_signal_ends_it_at_once(environment, embed_server, large) -> None:
    embed_server.delay_s = 0.3
    with started(environment, large) as process:
        until(lambda: embed_server.texts[1:])
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        status, _, errors = ended(process)
    assert status in (-signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert errors == ""
