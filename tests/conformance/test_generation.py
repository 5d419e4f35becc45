"""/v1/chat/completions, /v1/completions and a generator's /tokenize: shapes, streams, counts and ends."""

import json
from typing import Any

import httpx2
import openai
import pytest

HI = [{"role": "user", "content": "Say hi"}]
FRANCE = "The capital of France is"
CHAT = "/v1/chat/completions"


def posted(client: httpx2.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json={"temperature": 0, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def chunks(client: httpx2.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    """Of a stream, which must end as one ends."""
    answer = client.post(path, json={"temperature": 0, "stream": True, **body})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, end = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert end == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_chats_fields(generate: httpx2.Client):
    answer = posted(generate, CHAT, messages=HI, max_tokens=3, ignore_eos=True)
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == generate.get("/v1/models").json()["data"][0]["id"]
    (choice,) = answer["choices"]
    assert set(choice) >= {"index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids"}
    assert (choice["index"], choice["finish_reason"], choice["stop_reason"]) == (0, "length", None)
    message = choice["message"]
    assert message.pop("content")
    nothing = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
    assert message == {"role": "assistant", **nothing}
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (32, 3, 35)
    assert set(answer) >= {"service_tier", "system_fingerprint", "prompt_logprobs", "kv_transfer_params"}


def test_a_developer_speaks_as_the_system(generate: httpx2.Client):
    said = [
        posted(generate, CHAT, messages=[{"role": role, "content": "Be brief."}, *HI], max_tokens=4, temperature=0)
        for role in ("developer", "system")
    ]
    assert said[0]["usage"] == said[1]["usage"]
    assert said[0]["choices"] == said[1]["choices"]


def test_a_chats_stream(generate: httpx2.Client):
    first, *middle, last, usage = chunks(
        generate, CHAT, messages=HI, max_tokens=3, ignore_eos=True, stream_options={"include_usage": True}
    )
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {chunk["id"] for chunk in (first, *middle, last, usage)} == {first["id"]}
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in (first, *middle))
    assert last["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 32, "completion_tokens": 3, "total_tokens": 35}
    assert all("usage" not in chunk for chunk in (first, *middle, last))


@pytest.mark.parametrize(("path", "asked"), [(CHAT, {"messages": HI}), ("/v1/completions", {"prompt": FRANCE})])
def test_a_stream_says_what_the_whole_answer_says_and_counts_as_it_goes(generate: httpx2.Client, path, asked):
    body = {**asked, "max_tokens": 6, "ignore_eos": True}
    whole = posted(generate, path, **body)
    usage = {"include_usage": True, "continuous_usage_stats": True}
    pieces = chunks(generate, path, **body, stream_options=usage)
    choices = [choice for piece in pieces for choice in piece["choices"]]
    text = "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)
    assert text == (whole["choices"][0].get("text") or whole["choices"][0]["message"]["content"])
    counted = [piece["usage"]["completion_tokens"] for piece in pieces]
    assert counted == sorted(counted)
    assert counted[-1] == 6


def test_a_completions_fields(generate: httpx2.Client):
    answer = posted(generate, "/v1/completions", prompt=FRANCE, max_tokens=2)
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    choice = answer["choices"][0]
    assert (choice["index"], choice["text"], choice["finish_reason"]) == (0, " Paris.", "length")
    more = {"logprobs", "stop_reason", "token_ids", "prompt_logprobs", "prompt_token_ids", "routed_experts"}
    assert set(choice) == {"index", "text", "finish_reason", *more}
    assert answer["usage"]["prompt_tokens"] == 5


def test_prompts_choices_and_token_ids(generate: httpx2.Client):
    ids = generate.post("/tokenize", json={"prompt": FRANCE}).json()["tokens"]
    answer = posted(generate, "/v1/completions", prompt=[ids, ids], temperature=1, n=2, max_tokens=1)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    by_ids = posted(generate, "/v1/completions", prompt=ids, max_tokens=2)
    assert by_ids["choices"][0]["text"] == " Paris."
    assert len(posted(generate, CHAT, messages=HI, temperature=1, n=3, max_tokens=1)["choices"]) == 3


@pytest.mark.parametrize(("path", "asked"), [(CHAT, {"messages": HI}), ("/v1/completions", {"prompt": FRANCE})])
def test_the_last_chunk_has_the_fingerprint_and_none_has_a_usage_that_nobody_asked_for(
    generate: httpx2.Client, path, asked
):
    *others, last = chunks(generate, path, **asked, max_tokens=3, ignore_eos=True)
    assert ["system_fingerprint" in chunk for chunk in (*others, last)] == [False] * len(others) + [True]
    assert not any("usage" in chunk for chunk in (*others, last))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit(generate: httpx2.Client, field):
    answer = posted(generate, CHAT, messages=HI, ignore_eos=True, **{field: 4})
    assert answer["usage"]["completion_tokens"] == 4


def test_max_completion_tokens_wins(generate: httpx2.Client):
    answer = posted(generate, CHAT, messages=HI, ignore_eos=True, max_tokens=2, max_completion_tokens=4)
    assert answer["usage"]["completion_tokens"] == 4


def test_stop(generate: httpx2.Client):
    body = {"prompt": FRANCE, "max_tokens": 8, "stop": ["ris"]}
    (choice,) = posted(generate, "/v1/completions", **body)["choices"]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (" Pa", "stop", "ris")
    (kept,) = posted(generate, "/v1/completions", **body, include_stop_str_in_output=True)["choices"]
    assert kept["text"] == " Paris"


def test_a_seed_repeats(generate: httpx2.Client):
    body = {"prompt": FRANCE, "max_tokens": 12, "temperature": 1.0, "ignore_eos": True}
    said = [posted(generate, "/v1/completions", **body, seed=seed)["choices"][0]["text"] for seed in (7, 7, 8, 9)]
    assert said[0] == said[1]
    assert len(set(said)) > 1


def test_logprobs_of_the_chosen_tokens(generate: httpx2.Client):
    choice = posted(generate, CHAT, messages=HI, max_tokens=3, logprobs=True)["choices"][0]
    content = choice["logprobs"]["content"]
    assert "".join(one["token"] for one in content) == choice["message"]["content"]
    assert all(one["logprob"] <= 0 and bytes(one["bytes"]).decode() == one["token"] for one in content)
    plain = posted(generate, "/v1/completions", prompt=FRANCE, max_tokens=2, logprobs=1)["choices"][0]["logprobs"]
    assert plain["tokens"] == [" Paris", "."]
    assert plain["text_offset"] == [0, 6]
    assert len(plain["token_logprobs"]) == len(plain["top_logprobs"]) == 2


def test_structures(generate: httpx2.Client):
    body = {"messages": HI, "max_tokens": 8}
    chosen = posted(generate, CHAT, **body, structured_outputs={"choice": ["yes", "no"]})
    assert chosen["choices"][0]["message"]["content"] in ("yes", "no")
    digits = posted(generate, CHAT, **body, structured_outputs={"regex": "[0-9]{3}"})
    assert digits["choices"][0]["message"]["content"].isdigit()
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    held = posted(generate, CHAT, messages=HI, max_tokens=40, response_format=form)
    assert json.loads(held["choices"][0]["message"]["content"]) == {"a": 1}


def test_tokens(generate: httpx2.Client):
    plain = generate.post("/tokenize", json={"prompt": "hello world", "return_token_strs": True}).json()
    assert plain == {"count": 2, "max_model_len": 8192, "tokens": [28120, 905], "token_strs": ["hello", "Ġworld"]}
    assert generate.post("/tokenize", json={"messages": HI}).json()["count"] == 32
    assert generate.post("/detokenize", json={"tokens": [28120, 905]}).json() == {"prompt": "hello world"}


def test_a_structured_decision(generate: httpx2.Client, ours: bool):
    questions = {
        "leak": {"type": "noul", "instructions": "Does it leak?"},
        "part": {"type": "choice", "instructions": "Which part?", "criteria": {"seal": None, "pipe": "a pipe"}},
        "bad": {"type": "score", "instructions": "How bad is it?", "criteria": ["fine", "bad"]},
    }
    answer = generate.post("/v1/systemone", json={"state": {"pump": "it leaks"}, "questions": questions})
    if not ours:  # vLLM answers for Qwen3 alone
        assert (answer.status_code, answer.json()["error"]["type"]) == (501, "NotImplementedError")
        return
    said = answer.json()
    assert list(said) == ["id", "object", "created", "model", "answers", "usage", "diagnostics"]
    assert said["id"].startswith("decision-")
    assert {key: each["type"] for key, each in said["answers"].items()} == {
        key: each["type"] for key, each in questions.items()
    }
    assert said["usage"]["output_tokens"] == 3
    assert set(said["diagnostics"]["leak"]) == {"label_mass", "argmax_is_label"}


REFUSED = {
    "no message": (CHAT, {"messages": []}, None, "Cannot apply chat template to an empty conversation."),
    "no messages": (CHAT, {}, "body.messages", "'type': 'missing', 'loc': 'body.messages'"),
    "a limit": (CHAT, {"messages": HI, "max_tokens": 9000}, "max_tokens", "cannot be greater than max_model_len=8192"),
    "temperature": (CHAT, {"messages": HI, "temperature": -1}, "temperature", "temperature must be non-negative"),
    "greedy": (
        CHAT,
        {"messages": HI, "temperature": 0, "n": 2},
        None,
        "n must be 1 when using greedy sampling, got 2.",
    ),
    "top_p": (CHAT, {"messages": HI, "top_p": 0}, "top_p", "top_p must be in (0, 1], got 0.0."),
    "stream_options": (CHAT, {"messages": HI, "stream_options": {"include_usage": True}}, "stream_options", "stream"),
    "tool_choice": (CHAT, {"messages": HI, "tool_choice": "auto"}, "tool_choice", "`tools` must be set."),
    "top_logprobs": (CHAT, {"messages": HI, "top_logprobs": 1}, "top_logprobs", "`logprobs` must be set to true"),
    "tools": (CHAT, {"messages": HI, "tools": []}, "tools", "`tools` must not be an empty array."),
    "a template": (CHAT, {"messages": HI, "chat_template": "x"}, None, "untrusted chat template"),
    "no prompt": ("/v1/completions", {}, "prompt", "Either prompt or prompt_embeds must be provided and non-empty."),
    "too long": ("/v1/completions", {"prompt": "word " * 9000}, "input_tokens", "maximum context length is 8192"),
    "vocabulary": ("/v1/completions", {"prompt": [99999999]}, None, "is out of vocabulary"),
}


@pytest.mark.parametrize(("path", "body", "param", "said"), REFUSED.values(), ids=REFUSED)
def test_generate_refuses_in_the_same_words(generate: httpx2.Client, path, body, param, said):
    answer = generate.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, 400, param)
    assert said in error["message"]


def test_an_unknown_model_names_the_known(generate: httpx2.Client):
    name = generate.get("/v1/models").json()["data"][0]["id"]
    answer = generate.post(CHAT, json={"model": "nope", "messages": HI})
    message = f"The model `nope` does not exist. Valid aliases: {name}."
    assert answer.json() == {"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}}
    assert answer.status_code == 404


def test_the_openai_sdk(generate: httpx2.Client):
    with openai.OpenAI(base_url=f"{str(generate.base_url).rstrip('/')}/v1", api_key="none", max_retries=0) as sdk:
        (model,) = sdk.models.list()
        stream = sdk.chat.completions.create(model=model.id, messages=HI, max_tokens=3, temperature=0, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        done = sdk.completions.create(model=model.id, prompt=FRANCE, max_tokens=2, temperature=0)
        assert done.choices[0].text == " Paris."
