"""`ragline up` is stopped while it indexes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import RAGLINE
from tests.indexing.cli.test_stopping import PATIENCE_S, children, until, until_a_parser_waits


def is_index(process: Path) -> bool:
    return b"\0index\0" in (process / "cmdline").read_bytes()


@pytest.mark.slow
def test_stopping_up_while_it_indexes_ends_all_without_noise(tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    records = ({"_id": str(i), "text": f"Sentence {i} is here. " * 50} for i in range(6000))
    large.write_text("".join(json.dumps(record) + "\n" for record in records))
    ports = {f"RAGLINE_{name}__PORT": "0" for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
    env = {**os.environ, **ports, "RAGLINE_DATA_DIR": str(tmp_path / "data")}
    log = tmp_path / "up.log"
    command = [RAGLINE, "up", "--docs", str(large)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=env, stdout=output, stderr=output) as process,
    ):
        try:
            until(lambda: "0 of 1 files" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            until_a_parser_waits(next(int(each.name) for each in children(process.pid) if is_index(each)))
            process.terminate()
            process.wait(timeout=PATIENCE_S)
        finally:
            process.kill()
    said = log.read_text()
    assert "Stopped. What was indexed so far is kept" in said
    assert said.endswith("stopped.\n")
    assert "Traceback" not in said
    assert "destroyed" not in said
