"""`ragline up` is stopped while it indexes, as a terminal does it: Ctrl-C goes to the whole process group."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.conftest import RAGLINE

PATIENCE_S = 120.0


def test_ctrl_c_while_up_indexes_ends_all_without_noise(tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    records = ({"_id": str(i), "text": f"Sentence {i} is here. " * 50} for i in range(6000))
    large.write_text("".join(json.dumps(record) + "\n" for record in records))
    ports = {f"RAGLINE_{name}__PORT": "0" for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
    env = {**os.environ, **ports, "RAGLINE_DATA_DIR": str(tmp_path / "data")}
    log = tmp_path / "up.log"
    command = [RAGLINE, "up", "--docs", str(large)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE_S
            while "0 of 1 files" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=PATIENCE_S)
        finally:
            process.kill()
    said = log.read_text()
    assert "Stopped. What was indexed so far is kept" in said
    assert said.endswith("stopped.\n")
    assert "Traceback" not in said
    assert "destroyed" not in said
