"""`ragline models`, as it is typed."""

import json

import pytest
from typer.testing import CliRunner

from services.presets import presets
from services.weights.cli import models
from services.weights.fetch import fetch_weights
from services.weights.sources import WeightsError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAGLINE_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("RAGLINE_PROFILE", raising=False)
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list_names_every_model_with_its_licence(cache) -> None:
    lines = {line.removeprefix("*").split()[0]: line for line in run("list").splitlines() if line.strip()}
    for preset in presets():
        assert preset.licence in lines[preset.name]
        assert str(preset.max_model_len) in lines[preset.name]
        assert "not pulled" in lines[preset.name]
    assert "(gated)" in lines["Llama-3.1-8B-Instruct"]
    assert lines["bge-small-en-v1.5-int8"].startswith("*")


def test_json_has_every_field_of_every_preset(cache) -> None:
    listed = {entry["name"]: entry for entry in json.loads(run("list", "--json"))}
    assert listed.keys() == {preset.name for preset in presets()}
    assert listed["bge-m3"]["bytes"] == 0
    assert listed["bge-m3"]["path"] is None
    assert listed["Qwen3-Reranker-0.6B"]["classifier_from_token"] == ["no", "yes"]


def test_pull_path_and_list_agree(cache) -> None:
    place = fetch_weights("bge-small-en-v1.5-int8", cache)
    assert run("pull", "bge-small-en-v1.5-int8") == f"bge-small-en-v1.5-int8\t{place}\n"
    assert run("path", "bge-small-en-v1.5-int8").strip() == str(place)
    listed = {entry["name"]: entry for entry in json.loads(run("list", "--json"))}
    assert listed["bge-small-en-v1.5-int8"]["bytes"] == sum(f.stat().st_size for f in place.iterdir())


def test_pull_takes_the_models_of_a_profile(cache, monkeypatch) -> None:
    monkeypatch.setenv("RAGLINE_OFFLINE", "true")
    with pytest.raises(WeightsError, match=r"bge-m3 is not in .*offline"):
        run("pull", "--profile", "multilingual")


def test_path_of_what_is_not_here_tells_how_to_get_it(cache) -> None:
    with pytest.raises(WeightsError, match="ragline models pull bge-m3"):
        run("path", "bge-m3")


def test_pull_of_an_unknown_name_suggests_one(cache) -> None:
    with pytest.raises(WeightsError, match="did you mean bge-m3"):
        run("pull", "bge-m4")
