"""`ragline up` where the environment names a proxy that is dead, and where the services listen on IPv6."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Stack, ragline_up

DEAD = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), DEAD)


def has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.fixture(
    scope="module",
    params=[
        "127.0.0.1",
        pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6_loopback(), reason="no IPv6 on this machine")),
    ],
)
def behind_a_proxy(
    request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """An `up` of its own; the suite's has fetched the weights."""
    folder = tmp_path_factory.mktemp("proxy")
    hosts = {f"RAGLINE_{name}__HOST": request.param for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
    unset = {"NO_PROXY", "no_proxy"}
    env = {name: value for name, value in stack.env.items() if name not in unset}
    env |= {**PROXIES, **{name.lower(): DEAD for name in PROXIES}, **hosts}
    env |= {"RAGLINE_DATA_DIR": str(folder / "data"), "RAGLINE_OFFLINE": "true"}
    with ragline_up(folder, env) as own:
        yield own


def test_a_question_is_answered_through_no_proxy(behind_a_proxy: Stack, tmp_path: Path) -> None:
    (tmp_path / "pumps.txt").write_text("Pump P-17 was replaced in March 2024 by Ana Ruiz.\n")
    indexed = behind_a_proxy.ragline("index", str(tmp_path))
    assert indexed.returncode == 0, indexed.stdout + indexed.stderr
    answered = behind_a_proxy.ragline("ask", "Who replaced pump P-17?")
    assert answered.returncode == 0, answered.stdout + answered.stderr
    assert "pumps.txt" in answered.stdout
    assert "service" not in answered.stdout, "an answer without a warning that one is away"
