"""One `ragline up` over one folder, believed for as long as it lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.addresses import exclusive, publish, read_addresses
from services.errors import ConflictError

ADDRESSES = {"server": "http://127.0.0.1:8000", "embed": "http://127.0.0.1:8001"}
HOLDER = """
import sys, time
from pathlib import Path
from services.addresses import exclusive, publish
with exclusive(Path(sys.argv[1])):
    publish(Path(sys.argv[1]), {"server": "http://127.0.0.1:8000", "embed": "http://127.0.0.1:8001"})
    print("up", flush=True)
    time.sleep(600)
"""


def test_addresses_are_there_while_their_process_is(tmp_path: Path) -> None:
    assert read_addresses(tmp_path) == {}
    with exclusive(tmp_path):
        assert read_addresses(tmp_path) == {}
        publish(tmp_path, ADDRESSES)
        assert read_addresses(tmp_path) == ADDRESSES
    assert read_addresses(tmp_path) == {}


def test_a_second_one_is_refused_and_one_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert read_addresses(tmp_path) == ADDRESSES
        with pytest.raises(ConflictError, match="stop that one first"), exclusive(tmp_path):
            pass
        assert read_addresses(tmp_path) == ADDRESSES
        os.kill(process.pid, signal.SIGKILL)
    assert (tmp_path / "run.json").is_file()
    assert read_addresses(tmp_path) == {}
    with exclusive(tmp_path):
        assert read_addresses(tmp_path) == {}
