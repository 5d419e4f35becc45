"""Which of the four processes waits for the others' memory."""

import pytest

from app.up import takes_what_is_left
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
