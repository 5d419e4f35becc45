"""POST /v1/chat/completions as vLLM answers it; values are float32 transformers' of the same weights."""

import json

import openai
import pytest
from dirty_equals import IsInt, IsStr

HI = [{"role": "user", "content": "Say hi"}]
GREEDY = {"model": "gen", "messages": HI, "temperature": 0}
TEXT = "Hello there, welcome to my world! I'm here to help with any kind of magical or magical-themed craft."
LOGPROBS = [-2.339, -0.759, -0.758, -0.435]


def events(client, **body) -> list[dict]:
    """The chunks of a stream; asserts that it ends as it should."""
    with client.stream("POST", "/v1/chat/completions", json={**GREEDY, "stream": True, **body}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def whole(client, **body) -> dict:
    response = client.post("/v1/chat/completions", json={**GREEDY, **body})
    assert response.status_code == 200, response.text
    return response.json()


def content(client, **body) -> str:
    return whole(client, **body)["choices"][0]["message"]["content"]


def test_the_answer_has_vllms_fields_in_vllms_order(client):
    answer = whole(client, max_tokens=8)
    expected = {
        "id": IsStr(regex=r"chatcmpl-\S+"),
        "object": "chat.completion",
        "created": IsInt(gt=1_700_000_000),
        "model": "gen",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello there, welcome to my world!",
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "reasoning": None,
                },
                "logprobs": None,
                "finish_reason": "length",
                "stop_reason": None,
                "token_ids": None,
                "routed_experts": None,
            }
        ],
        "service_tier": None,
        "system_fingerprint": IsStr(regex=r"ragline-\S+"),
        "usage": {
            "prompt_tokens": 32,
            "total_tokens": 40,
            "completion_tokens": 8,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }
    assert answer == expected
    assert list(answer) == list(expected)


def test_chunks_come_in_vllms_order_with_vllms_fields(client):
    first, *middle, last, usage = events(client, max_tokens=4, stream_options={"include_usage": True})
    head = {"id": first["id"], "object": "chat.completion.chunk", "created": first["created"], "model": "gen"}
    nothing = {"logprobs": None, "finish_reason": None}
    opening = {"index": 0, "delta": {"role": "assistant", "content": ""}, **nothing}
    assert first == {**head, "choices": [opening], "prompt_token_ids": None, "prompt_text": None}
    for chunk, text in zip(middle, ["Hello", " there", ","], strict=True):
        choice = {"index": 0, "delta": {"content": text}, **nothing, "token_ids": None}
        assert chunk == {**head, "choices": [choice]}
    ending = {"index": 0, "delta": {"content": " welcome"}, "logprobs": None, "finish_reason": "length"}
    assert last == {**head, "choices": [{**ending, "stop_reason": None, "token_ids": None}]}
    counted = {"prompt_tokens": 32, "total_tokens": 36, "completion_tokens": 4}
    assert usage == {**head, "choices": [], "usage": counted, "system_fingerprint": IsStr()}


def test_the_weights_are_read_exactly(client):
    answer = whole(client, max_tokens=24, logprobs=True, top_logprobs=1)["choices"][0]
    assert answer["message"]["content"] == TEXT
    tokens = answer["logprobs"]["content"]
    assert [token["logprob"] for token in tokens[:4]] == pytest.approx(LOGPROBS, abs=0.06)
    assert bytes(b for token in tokens for b in token["bytes"]).decode() == TEXT
    assert tokens[0]["top_logprobs"] == [{**tokens[0], "top_logprobs": []}]


def test_a_stream_says_what_the_whole_answer_says(client):
    body = {"max_tokens": 40, "stop": ["magical"], "messages": HI}
    expected = whole(client, **body)["choices"][0]
    chunks = events(client, **body)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"]["content"] for choice in choices) == expected["message"]["content"]
    assert (choices[-1]["finish_reason"], choices[-1]["stop_reason"]) == ("stop", "magical")
    assert expected["message"]["content"] == TEXT.partition("magical")[0]


def test_an_answer_ends_with_its_end_of_sequence_token(client):
    answer = whole(client, messages=[{"role": "user", "content": "What is the capital of France?"}])
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "The capital of France is Paris."
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)
    assert answer["usage"]["completion_tokens"] == 8


def test_ignore_eos_and_min_tokens_go_on(client):
    paris = [{"role": "user", "content": "What is the capital of France?"}]
    for rule in ({"ignore_eos": True}, {"min_tokens": 20}):
        answer = whole(client, messages=paris, max_tokens=20, **rule)
        assert answer["usage"]["completion_tokens"] == 20
        assert answer["choices"][0]["message"]["content"].startswith("The capital of France is Paris.")


def test_a_stop_token_ends_the_answer_and_is_named(client):
    welcome = client.post("/tokenize", json={"prompt": " welcome"}).json()["tokens"]
    for more in ({}, {"ignore_eos": True}):
        choice = whole(client, stop_token_ids=welcome, **more)["choices"][0]
        assert choice["message"]["content"] == "Hello there,"
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", welcome[0])


def test_max_completion_tokens_is_max_tokens(client):
    assert whole(client, max_completion_tokens=3, max_tokens=9)["usage"]["completion_tokens"] == 3


def test_choices_differ(client):
    body = {"n": 3, "seed": 7, "temperature": 1.0, "max_tokens": 8}
    assert len({choice["message"]["content"] for choice in whole(client, **body)["choices"]}) == 3
    streamed = ["", "", ""]
    for chunk in events(client, **body):
        for choice in chunk["choices"]:
            streamed[choice["index"]] += choice["delta"]["content"]
    assert len(set(streamed)) == 3


def test_a_seed_repeats_the_answer(client):
    body = {"seed": 7, "temperature": 1.0, "max_tokens": 8}
    content(client, **body)  # from here on the prompt is in the cache: the same sums in the same order
    assert len({content(client, **body) for _ in range(3)}) == 1
    assert len({content(client, **body | {"seed": seed}) for seed in range(3)}) > 1


def test_without_a_seed_answers_differ(client):
    assert len({content(client, temperature=1.5, max_tokens=12) for _ in range(3)}) > 1


def test_narrow_sampling_is_greedy(client):
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert content(client, temperature=1.0, max_tokens=8, **narrow) == "Hello there, welcome to my world!"


def test_penalties_change_the_answer(client):
    for penalty in ({"frequency_penalty": 2.0}, {"presence_penalty": 2.0}, {"repetition_penalty": 1.8}):
        assert content(client, max_tokens=30, **penalty) != content(client, max_tokens=30)


def test_the_final_message_is_continued(client):
    body = {
        "messages": [*HI, {"role": "assistant", "content": "Hello there, welcome"}],
        "add_generation_prompt": False,
        "continue_final_message": True,
        "max_tokens": 4,
    }
    assert content(client, **body) == " to my world!"
    assert content(client, **body, echo=True) == "Hello there, welcome to my world!"
    streamed = "".join(chunk["choices"][0]["delta"]["content"] for chunk in events(client, **body, echo=True))
    assert streamed == "Hello there, welcome to my world!"


def test_parts_of_a_message_are_joined_as_lines(client):
    parts = [{"type": "text", "text": "Say"}, {"type": "text", "text": "hi"}]
    listed = whole(client, messages=[{"role": "user", "content": parts}], max_tokens=1, return_token_ids=True)
    plain = whole(client, messages=[{"role": "user", "content": "Say\nhi"}], max_tokens=1, return_token_ids=True)
    assert listed["prompt_token_ids"] == plain["prompt_token_ids"]


def test_the_rendered_prompt_can_be_asked_for(client):
    answer = whole(client, max_tokens=1, return_prompt_text=True)
    assert answer["prompt_text"].endswith("<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n")


def test_the_openai_sdk_below_kserves_path(generate_server):
    with openai.OpenAI(base_url=f"{generate_server.url}/openai/v1", api_key="none", max_retries=0) as sdk:
        (model,) = sdk.models.list()
        said = sdk.chat.completions.create(model=model.id, messages=HI, max_tokens=3, temperature=0)
        assert said.choices[0].message.content
        assert sdk.completions.create(model=model.id, prompt="Paris", max_tokens=1).usage.completion_tokens == 1


def test_the_stream_of_the_openai_sdk(sdk):
    stream = sdk.chat.completions.create(
        model="gen", messages=HI, temperature=0, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello there, welcome to my world!"
    assert chunks[-1].usage.completion_tokens == 8


def test_the_openai_sdk_parses_a_schema(sdk):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "large": {"type": "boolean"}},
        "required": ["city", "large"],
        "additionalProperties": False,
    }
    answer = sdk.chat.completions.create(
        model="gen",
        messages=[{"role": "user", "content": "Name a city."}],
        temperature=0,
        max_tokens=60,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}},
    )
    found = json.loads(answer.choices[0].message.content)
    assert set(found) == {"city", "large"}
    assert isinstance(found["large"], bool)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"structured_outputs": {"choice": ["maybe", "perhaps"]}}, r"maybe|perhaps"),
        ({"structured_outputs": {"regex": "[0-9]{3}-[a-f]+"}, "max_tokens": 6}, r"[0-9]{3}-[a-f]*"),
        ({"structured_outputs": {"grammar": 'root ::= "<" [a-z]+ ">"'}, "max_tokens": 30}, r"<[a-z]+>?"),
        ({"response_format": {"type": "json_object"}, "max_tokens": 30}, r"\s*\{[\s\S]*"),
    ],
)
def test_an_answer_keeps_to_its_structure(client, wanted, expected):
    assert content(client, **wanted) == IsStr(regex=expected)
