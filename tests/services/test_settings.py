"""Settings from the environment and the profile: what is wrong in them is named as the variable that sets it."""

from pathlib import Path

import pytest

from app.settings import AppSettings
from services.errors import BadRequestError
from services.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RAGLINE_ASK_MIN_SCORE", "0.5", "RAGLINE_ASK_MIN_SCORE is no setting; did you mean RAGLINE_ASK__MIN_SCORE?"),
        ("RAGLINE_EMBD__PORT", "1", "RAGLINE_EMBD__PORT is no setting; did you mean RAGLINE_EMBED__PORT?"),
        ("RAGLINE_ASK__TOPN", "1", "RAGLINE_ASK__TOPN is no setting; did you mean RAGLINE_ASK__TOP_N?"),
        (
            "RAGLINE_SCORE__KV_CACHE_GB",
            "1",
            "RAGLINE_SCORE__KV_CACHE_GB is no setting; did you mean RAGLINE_GENERATE__KV_CACHE_GB?",
        ),
        (
            "RAGLINE_EMBED__IGNORE_TOOLS",
            "1",
            "RAGLINE_EMBED__IGNORE_TOOLS is no setting; did you mean RAGLINE_GENERATE__IGNORE_TOOLS?",
        ),
        (
            "RAGLINE_EMBED__SCORE_ROUTE",
            "/rerank",
            "RAGLINE_EMBED__SCORE_ROUTE is no setting; did you mean RAGLINE_SCORE__SCORE_ROUTE?",
        ),
        (
            "RAGLINE_GENERATE__CACHE_ENTRIES",
            "1",
            "RAGLINE_GENERATE__CACHE_ENTRIES is no setting; did you mean RAGLINE_SCORE__CACHE_ENTRIES?",
        ),
        ("ragline_zebra", "1", "RAGLINE_ZEBRA is no setting"),
        ("RAGLINE_EMBED__PORT", "-1", "RAGLINE_EMBED__PORT: Input should be greater than or equal to 0"),
    ],
)
def test_a_variable_that_sets_nothing_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadRequestError) as raised:
        AppSettings.load()
    assert str(raised.value) == f"settings are wrong, in the environment or the profile: {says}"


def test_a_profiles_unknown_key_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text("[ask]\ntop_kk = 3\n")
    with pytest.raises(BadRequestError, match="RAGLINE_ASK__TOP_KK is no setting"):
        AppSettings.load(profile=str(profile))


def test_a_process_leaves_the_sections_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_ASK__MIN_SCORE", "not read here")
    monkeypatch.setenv("RAGLINE_ASK__ZEBRA", "1")
    assert Settings.load().embed.port == 8001
