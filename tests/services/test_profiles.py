"""Profiles: every one loads in every process that reads it, and fits the models that it names."""

from pathlib import Path

import pytest

from app.settings import AppSettings
from services.errors import BadRequestError
from services.presets import find_preset
from services.settings import Settings

PROFILES = Path(__file__).parents[2] / "configs" / "profiles"
NAMES = sorted(path.stem for path in PROFILES.glob("*.toml"))


def test_the_usual_choices_are_there() -> None:
    assert {"cpu", "latency", "quality", "long-documents", "multilingual"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_loads_with_every_section_checked(name) -> None:
    assert AppSettings.load(profile=name).profile == name


@pytest.mark.parametrize("name", NAMES)
def test_each_model_has_a_preset_for_its_task(name) -> None:
    settings = Settings.load(profile=name)
    for task in ("embed", "score", "generate"):
        preset = find_preset(getattr(settings, task).model)
        assert preset is not None, f"{task}: {getattr(settings, task).model}"
        assert preset.task == task
        assert not preset.gated
        assert (getattr(settings, task).max_model_len or 1) <= preset.max_model_len


@pytest.mark.parametrize("name", NAMES)
def test_chunks_and_prompts_fit_the_models(name) -> None:
    settings = AppSettings.load(profile=name)
    embed, score, generate = (find_preset(getattr(settings, task).model) for task in ("embed", "score", "generate"))
    assert embed and score and generate  # noqa: PT018  for the type checker
    assert settings.index.chunk_tokens <= min(embed.max_model_len, settings.score.max_model_len or score.max_model_len)
    window = settings.generate.max_model_len or generate.max_model_len
    assert settings.ask.context_tokens + settings.ask.max_tokens <= window
    assert settings.ask.top_n * settings.index.chunk_tokens <= settings.ask.context_tokens


def test_the_multilingual_profile_names_multilingual_models() -> None:
    settings = Settings.load(profile="multilingual")
    presets = [find_preset(getattr(settings, task).model) for task in ("embed", "score", "generate")]
    assert all(preset and preset.multilingual for preset in presets)


@pytest.mark.parametrize("name", NAMES)
def test_begins_with_who_should_take_it(name) -> None:
    head = [line for line in (PROFILES / f"{name}.toml").read_text().splitlines() if line.startswith("#")]
    assert head[0].startswith(f"# {name}: ")
    assert "GPU" in " ".join(head)


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(BadRequestError, match="multilingual"):
        Settings.load(profile="no-such")
