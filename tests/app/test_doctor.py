"""`ragline doctor` over settings and folders that each have something wrong."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from app.doctor import Finding, examine
from app.settings import AppSettings
from tests.conftest import Stack


def problems(**overrides: Any) -> dict[str, Finding]:
    """By subject."""
    return {each.subject: each for each in examine(AppSettings.load(**overrides)) if each.level != "ok"}


def test_a_machine_on_which_ragline_runs_has_no_problem(stack: Stack) -> None:
    done = stack.ragline("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert [each["says"] for each in found if each["subject"] == "services"] == ["embed", "score", "generate"]
    assert not [each for each in found if each["level"] == "problem"]


def test_each_problem_comes_with_its_cure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = AppSettings.load(
            data_dir=tmp_path / "data",
            cache_dir=tmp_path / "empty",
            offline=True,
            embed={"port": port},
            score={"url": "http://127.0.0.1:9"},
            generate={"model": "Qwen2.5-72B-Instruct"},
            server={"host": "0.0.0.0"},
        )
        findings = list(examine(settings))
    found = {each.subject: each for each in findings if each.level != "ok"}
    assert "no model 'Qwen2.5-72B-Instruct'; did you mean Qwen2.5-7B-Instruct" in found["models"].says
    assert "RAGLINE_EMBED__PORT" in found["ports"].cure
    assert any("RAGLINE_SCORE__URL" in each.cure for each in findings)
    assert "RAGLINE_SERVER__API_KEY" in found["key"].cure


def test_a_model_that_is_too_large_is_said_before_it_is_fetched(tmp_path: Path) -> None:
    [memory] = [
        each for each in examine(AppSettings.load(data_dir=tmp_path, profile="quality")) if each.subject == "memory"
    ]
    assert "the models take about 2" in memory.says


def test_an_index_of_another_model_is_a_problem(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# A\n\nThe doctor looks at this.\n")
    assert stack.ragline("index", str(file), "--collection", "examined").returncode == 0
    served = {"embed": {"model": "bge-large-en-v1.5"}}
    found = [each for each in examine(AppSettings.load(data_dir=stack.data_dir, **served)) if "examined" in each.says]
    assert [each.level for each in found] == ["problem"]
    assert "reindex -c examined" in found[0].cure


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY"])
def test_a_proxy_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert name.lower() in problems(data_dir=tmp_path)["proxy"].says
