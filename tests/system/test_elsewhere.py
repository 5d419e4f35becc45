"""`ragline up` beside services that run elsewhere."""

import os
from pathlib import Path

import httpx2

from tests.conftest import Stack, ragline_up

NAMES = ("embed", "score", "generate")


def test_up_starts_what_has_no_address(stack: Stack, tmp_path: Path) -> None:
    elsewhere = {f"RAGLINE_{name.upper()}__URL": stack.addresses[name] for name in NAMES}
    env = {**os.environ, **elsewhere, "RAGLINE_SERVER__PORT": "0", "RAGLINE_DATA_DIR": str(tmp_path / "data")}
    with ragline_up(tmp_path, env) as own:
        ready = httpx2.get(f"{own.addresses['server']}/health/ready").json()
    assert {name: own.addresses[name] for name in NAMES} == {name: stack.addresses[name] for name in NAMES}
    assert own.addresses["server"] != stack.addresses["server"]
    assert ready["services"] == {"embed": True, "score": True, "generate": True}
    assert sorted(file.name for file in (own.data_dir / "logs").iterdir()) == ["server.log"]
    assert "generate serves at" in (own.data_dir / "up.log").read_text()
