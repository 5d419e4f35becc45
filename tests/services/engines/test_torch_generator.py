"""transformers' continuous batching behind the same routes: its greedy answers are those of transformers' generate."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest

from services.engines.generator import gguf

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PROMPTS = ["the cat sat on", "what is the capital", "Paris is the", "yes no"]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.fixture(scope="module")
def tiny(folder, tmp_path_factory) -> Path:
    """A Llama of random weights with the bundled model's tokenizer."""
    path = tmp_path_factory.mktemp("tiny-llama")
    gguf.tokenizer(gguf.metadata(folder.weights)).save(str(path / "tokenizer.json"))
    said = {"eos_token": "<|im_end|>", "chat_template": "{{ messages[-1].content }}"}
    (path / "tokenizer_config.json").write_text(json.dumps(said))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=folder.vocabulary.size, intermediate_size=64, max_position_embeddings=256, eos_token_id=2, **SIZE
    )
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2)
    model.save_pretrained(path)
    said = {"eos_token_id": 2, "repetition_penalty": 1.05, "min_p": 0.05, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
    (path / "generation_config.json").write_text(json.dumps(said))  # as Qwen2.5-7B-Instruct's
    return path


@pytest.fixture(scope="module")
def server(tiny, launch):
    return launch(str(tiny), "--task", "generate", "--device", "cpu", "--served-model-name", "gen")


@pytest.fixture(scope="module")
def expected(tiny, folder) -> list[list[int]]:
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    made = []
    for prompt in PROMPTS:
        ids = torch.tensor([folder.vocabulary.encode(prompt, special=False)])
        out = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=-1, pad_token_id=0)
        made.append(out[0, ids.shape[1] :].tolist())
    return made


@pytest.mark.anyio
async def test_answers_at_once_are_those_of_generate_alone(server, expected):
    async with httpx2.AsyncClient(base_url=server.url, timeout=120) as client:

        async def ask(prompt: str) -> list[int]:
            body = {"prompt": prompt, "temperature": 0, "max_tokens": 12, "ignore_eos": True, "return_token_ids": True}
            return (await client.post("/v1/completions", json=body)).json()["choices"][0]["token_ids"]

        assert await asyncio.gather(*map(ask, PROMPTS)) == expected


def test_sampled_choices_differ(server):
    body = {"messages": [{"role": "user", "content": "the cat"}], "n": 3, "max_tokens": 8, "temperature": 1.5}
    with server.client() as client:
        choices = client.post("/v1/chat/completions", json=body).json()["choices"]
    assert len({choice["message"]["content"] for choice in choices}) == 3


def test_a_stop_token_ends_a_stream(server, expected):
    body = {
        "prompt": PROMPTS[0],
        "temperature": 0,
        "max_tokens": 12,
        "stop_token_ids": [expected[0][3]],
        "stream": True,
    }
    with server.client() as client:
        lines = [line for line in client.post("/v1/completions", json=body).text.splitlines() if line]
    last = json.loads(lines[-2].removeprefix("data: "))["choices"][0]
    assert (last["finish_reason"], last["stop_reason"]) == ("stop", expected[0][3])


def test_a_default_of_the_model_that_the_engine_lacks_is_dropped_and_logged(server):
    with server.client() as client:
        for _ in range(2):
            asked = {"prompt": "the cat", "max_tokens": 2}
            assert client.post("/v1/completions", json=asked).status_code == 200
        refused = client.post("/v1/completions", json={**asked, "repetition_penalty": 1.05})
    assert refused.status_code == 400
    assert "penalties" in refused.json()["error"]["message"]
    log = server.log.read_text()
    assert log.count("asks for repetition_penalty = 1.05") == log.count("asks for min_p = 0.05") == 1


@pytest.mark.parametrize("asked", [{"logprobs": 0}, {"min_p": 0.1}, {"presence_penalty": 1}, {"min_tokens": 2}])
def test_what_the_engine_has_not_is_refused(server, asked):
    with server.client() as client:
        refused = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 4, **asked})
    assert refused.status_code == 400
    assert "does not have" in refused.json()["error"]["message"]


def test_nothing_is_kept_of_a_sequence_that_ended_or_was_cancelled(tiny):
    from services.engines.generator.torch import Torch  # noqa: PLC0415  needs torch

    options = {"model": str(tiny), "device": "cpu", "dtype": "auto", "threads": 1, "sequences": 4}
    cache = {"kv_cache_gb": 1e-4, "kv_elements": 2 * 2 * 2 * 8, "longest": 256, "max_batch_tokens": 64}
    engine = Torch({**options, **cache})
    assert engine.ready()["capacity"] == 448  # 0.0001 GiB of 256 bytes a token, in whole pages of 32
    for name in (1, 2):
        engine.add(name, [5, 6], {"max_tokens": 20, "temperature": 0.0, "stop_token_ids": [0]})
    engine.cancel(1)
    while engine.busy:
        engine.step()
    engine._manager.stop(block=True)
    assert [kept for kept in vars(engine).values() if isinstance(kept, dict)] == [{}]
