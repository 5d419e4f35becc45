"""POST /v1/completions, /tokenize, /detokenize and /tokenizer_info."""

import json

import pytest
from dirty_equals import IsInt, IsStr

GREEDY = {"model": "gen", "temperature": 0}


def whole(client, **body) -> dict:
    response = client.post("/v1/completions", json={**GREEDY, **body})
    assert response.status_code == 200, response.text
    return response.json()


def test_the_answer_has_vllms_fields(client):
    answer = whole(client, prompt="The capital of France is", max_tokens=2)
    choice = {
        "index": 0,
        "text": " Paris.",
        "logprobs": None,
        "finish_reason": "length",
        "stop_reason": None,
        "token_ids": None,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "routed_experts": None,
    }
    usage = {"prompt_tokens": 5, "total_tokens": 7, "completion_tokens": 2}
    assert answer == {
        "id": IsStr(regex=r"cmpl-\S+"),
        "object": "text_completion",
        "created": IsInt,
        "model": "gen",
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": IsStr,
        "usage": usage | {"prompt_tokens_details": None, "completion_tokens_details": None},
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def test_sixteen_tokens_unless_told(client):
    assert whole(client, prompt="The capital of France is", ignore_eos=True)["usage"]["completion_tokens"] == 16


def test_prompts_are_answered_in_their_order_each_with_n_choices(client):
    prompts = ["The capital of France is", "Two plus two is"]
    answer = whole(client, prompt=prompts, temperature=1.0, n=2, max_tokens=3, echo=True)
    texts = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert all(text.startswith(prompts[0]) for text in texts[:2])
    assert all(text.startswith(prompts[1]) for text in texts[2:])
    assert answer["usage"]["prompt_tokens"] == 9


def test_token_ids_are_a_prompt(client):
    ids = client.post("/tokenize", json={"prompt": "The capital of France is"}).json()["tokens"]
    by_text, by_ids = (whole(client, prompt=p, max_tokens=5) for p in ("The capital of France is", ids))
    assert by_text["choices"] == by_ids["choices"]
    assert len(whole(client, prompt=[ids, ids], max_tokens=1)["choices"]) == 2


def test_logprobs_stand_beside_their_tokens(client):
    made = whole(client, prompt="The capital of France is", max_tokens=3, logprobs=1)["choices"][0]
    logprobs = made["logprobs"]
    assert "".join(logprobs["tokens"]) == made["text"]
    assert logprobs["text_offset"] == [0, 6, 7]
    assert logprobs["top_logprobs"] == [
        {token: value} for token, value in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)
    ]
    assert all(value <= 0 for value in logprobs["token_logprobs"])


def test_a_stream_gives_texts_usage_and_an_end(client):
    body = {**GREEDY, "prompt": "The capital of France is", "max_tokens": 3, "stream": True, "echo": True}
    body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    lines = [line for line in client.post("/v1/completions", json=body).text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    *chunks, last = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "The capital of France is Paris.\n"
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 8)


def test_the_openai_sdk_completes(sdk):
    answer = sdk.completions.create(model="gen", prompt="The capital of France is", max_tokens=2, temperature=0)
    assert answer.choices[0].text == " Paris."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": ""}, "Either prompt or prompt_embeds must be provided and non-empty."),
        ({"prompt": []}, "Either prompt or prompt_embeds must be provided and non-empty."),
        ({}, "Either prompt or prompt_embeds must be provided and non-empty."),
        ({"prompt": [99999999]}, "Token id 99999999 is out of vocabulary"),
        ({"prompt": [-1]}, "greater than or equal to 0"),
        ({"prompt": "x", "suffix": "y"}, "suffix is not currently supported"),
        ({"prompt": "x", "logprobs": -1}, "`logprobs` must be a positive value."),
        ({"prompt": "x", "max_tokens": 9000}, "max_tokens=9000 cannot be greater than max_model_len=8192."),
        ({"prompt": [5] * 8192}, "maximum context length is 8192 tokens"),
    ],
)
def test_a_completion_is_refused(client, body, message):
    response = client.post("/v1/completions", json={**GREEDY, **body})
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_tokens_of_a_text_and_of_a_chat(client):
    plain = client.post("/tokenize", json={"prompt": "hello world", "return_token_strs": True}).json()
    assert plain == {"count": 2, "max_model_len": 8192, "tokens": [28120, 905], "token_strs": ["hello", "Ġworld"]}
    chat = client.post("/tokenize", json={"messages": [{"role": "user", "content": "Say hi"}]}).json()
    assert chat["count"] == 32
    text = client.post("/detokenize", json={"tokens": chat["tokens"]}).json()["prompt"]
    assert text.endswith("<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n")
    assert client.post("/detokenize", json={"tokens": [28120, 99999, 2**62, 905]}).json() == {"prompt": "hello world"}


def test_the_added_tokens_are_told(client):
    told = client.get("/tokenizer_info").json()
    assert told["tokenizer_class"] == "PreTrainedTokenizerFast"
    for token_id, token in told["added_tokens_decoder"].items():
        assert client.post("/tokenize", json={"prompt": f"a{token}b"}).json()["tokens"][1:-1] == [int(token_id)]
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= set(told["added_tokens_decoder"].values())
