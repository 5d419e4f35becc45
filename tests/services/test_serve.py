"""What `ragline serve` takes: vLLM's flags where they mean the same."""

import os
import subprocess
import sys

import pytest

from services.settings import Settings
from services.weights.fetch import fetch_weights


def test_vllms_flags(launch, score_folder):
    flags = ("--runner", "pooling", "--max-model-len", "100", "--served-model-name", "x", "--dtype", "auto")
    served = launch(str(score_folder), "--task", "score", *flags, "--max-num-batched-tokens", "512")
    with served.client() as client:
        card = client.get("/v1/models").json()["data"][0]
        assert (card["id"], card["max_model_len"], card["root"]) == ("x", 100, str(score_folder))
        answer = client.post("/score", json={"text_1": "a", "text_2": "word " * 200})
        assert "maximum context length is 100 tokens" in answer.json()["error"]["message"]


def test_the_task_is_told_by_the_preset(launch):
    with launch("bge-small-en-v1.5-int8").client() as client:
        assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 200


def test_a_gguf_file_is_known_for_a_generator(launch):
    folder = fetch_weights("SmolLM2-135M-Instruct-Q4_1", Settings.load().cache_dir)
    with launch(str(*folder.glob("*.gguf"))).client() as client:
        assert client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere-to-be-found",), "nowhere-to-be-found"),
        (("--task", "score", "--max-model-len", "4096"), "more than the 512 tokens"),
        ((), "name a model"),
    ],
)
def test_what_cannot_be_served_is_said(launch, arguments, said):
    with pytest.raises(pytest.fail.Exception, match=said):
        launch(*arguments)


@pytest.mark.parametrize(
    ("arguments", "profile", "said"),
    [
        (("serve",), "nope", "ragline: no profile 'nope'"),
        (("serve",), "cpu", "ragline: name a model"),
        (("models", "path", "nosuch"), "cpu", "ragline: no model 'nosuch'"),
        (("models", "list"), "nope", "ragline: no profile 'nope'"),
    ],
)
def test_a_users_mistake_is_one_line(arguments, profile, said):
    command = [sys.executable, "-m", "services", *arguments]
    env = {**os.environ, "RAGLINE_PROFILE": profile}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1
