"""`ragline up` beside services that run elsewhere."""

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx2

from services.addresses import read_addresses
from tests.conftest import RAGLINE, START_S, Stack


def test_up_starts_what_has_no_address(stack: Stack, tmp_path: Path) -> None:
    elsewhere = {f"RAGLINE_{name.upper()}__URL": stack.addresses[name] for name in ("embed", "score", "generate")}
    env = {**os.environ, **elsewhere, "RAGLINE_SERVER__PORT": "0", "RAGLINE_DATA_DIR": str(tmp_path / "data")}
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen([RAGLINE, "up"], env=env, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_S
        while not (addresses := read_addresses(tmp_path / "data")):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        ready = httpx2.get(f"{addresses['server']}/health/ready").json()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert {name: addresses[name] for name in ("embed", "score", "generate")} == {
        name: stack.addresses[name] for name in ("embed", "score", "generate")
    }
    assert addresses["server"] != stack.addresses["server"]
    assert ready["services"] == {"embed": True, "score": True, "generate": True}
    assert sorted(file.name for file in (tmp_path / "data" / "logs").iterdir()) == ["server.log"]
    assert "generate serves at" in log.read_text()
