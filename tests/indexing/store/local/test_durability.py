"""What is acknowledged survives a loss of power: data is flushed before it gets its name, and the folder after."""

import json
import subprocess
import sys
from pathlib import Path

STEPS = ["create", "seal", "adopt", "snapshot", "restore", "restore anew", "promote", "drop"]


def test_a_loss_of_power_takes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.indexing.store.local.durable_writer", str(tmp_path / "root")]
    (tmp_path / "root").mkdir()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [{"step": step, "lost": [], "early": [], "unsafe": []} for step in STEPS]
