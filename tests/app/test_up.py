"""Which processes `ragline up` starts, and which waits for the others' memory."""

from pathlib import Path

import pytest
from rich.console import Console

from app.settings import AppSettings
from app.up import Supervisor, takes_what_is_left
from services.settings import GeneratorSettings


@pytest.mark.parametrize(
    ("section", "waits"),
    [
        ({"model": "SmolLM2-135M-Instruct-Q4_1"}, False),
        ({"model": "Qwen2.5-7B-Instruct"}, True),
        ({"model": "Qwen2.5-7B-Instruct", "device": "cpu"}, False),
        ({"model": "a/folder"}, True),
        ({"model": "a/model.gguf"}, False),
        ({"model": "a/folder", "engine": "openvino"}, False),
    ],
)
def test_a_generator_of_torch_on_a_gpu_starts_after_the_encoders(section, waits):
    assert takes_what_is_left(GeneratorSettings(**section)) is waits


@pytest.mark.parametrize(
    ("verify", "started"),
    [({}, False), ({"model": "a/folder"}, True), ({"model": "a/folder", "url": "http://127.0.0.1:9"}, False)],
)
def test_an_entailment_model_is_started_where_one_is_named(verify, started, tmp_path: Path):
    settings = AppSettings.load(data_dir=tmp_path, verify=verify)
    assert Supervisor(settings, Console(quiet=True)).own == ["embed", "score", "generate", *["verify"] * started]
