"""The same answers again: after a restart, in other steps, and at temperature 0 beside others."""

import pytest

from services.engines.generator.openvino import OpenVino

QUESTIONS = ["The capital of France is Paris.", "What is a neural network?", "List ten cities in Europe."]


@pytest.fixture
def prompts(folder):
    asked = (f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n" for question in QUESTIONS)
    return [folder.vocabulary.encode(text, special=False) for text in asked]


def opened(folder, step):
    options = {"model": str(folder.weights), "threads": 0, "sequences": 8, "kv_cache_gb": None, "longest": 1024}
    return OpenVino({**options, "kv_elements": folder.kv_elements, "max_batch_tokens": step})


def answers(engine, prompts, temperature):
    """The token ids of each, all running at once."""
    made = {name: [] for name in range(1, len(prompts) + 1)}
    for name, prompt in zip(made, prompts, strict=True):
        drawn = {"temperature": temperature, "top_p": 1.0, "min_p": 0.0, "top_k": 0, "seed": 7}
        engine.add(name, prompt, {"max_tokens": 16, "stop_token_ids": [2], **drawn})
    while engine.busy:
        for name, tokens, _, _ in engine.step():
            made[name] += tokens
    return list(made.values())


@pytest.fixture(scope="module")
def engine(folder):
    return opened(folder, 512)


@pytest.mark.slow
def test_another_engine_with_other_steps_answers_the_same(folder, prompts, engine):
    cut = opened(folder, 7)
    for temperature in (0.0, 0.8):
        found = [[answers(each, [prompt], temperature)[0] for prompt in prompts] for each in (engine, cut)]
        assert found[0] == found[1]


def test_greedy_answers_are_the_same_beside_others_and_drawn_ones_are_not_greedy(prompts, engine):
    alone = [answers(engine, [prompt], 0.0)[0] for prompt in prompts]
    assert answers(engine, prompts, 0.0) == alone
    assert answers(engine, prompts, 0.8) != alone
