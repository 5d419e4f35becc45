"""What is refused, in vLLM's words."""

import json

import pytest

HI = [{"role": "user", "content": "Say hi"}]
LONG = [{"role": "user", "content": "x " * 9000}]
WORDS = {
    # transcripts of vLLM
    "empty": "Cannot apply chat template to an empty conversation. Provide at least one message.",
    "model": "The model `nope` does not exist. Valid aliases: gen.",
    "output": "max_tokens=100000 cannot be greater than max_model_len=8192. Please request fewer output tokens. "
    "(parameter=max_tokens, value=100000)",
    "temperature": "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)",
    "greedy": "n must be 1 when using greedy sampling, got 2.",
    # vLLM's source
    "prompt": "This model's maximum context length is 8192 tokens. However, your prompt contains at least 8193 input "
    "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    "(parameter=input_tokens, value=8193)",
    "both": "This model's maximum context length is 8192 tokens. However, you requested 10 output tokens and your "
    "prompt contains at least 8183 input tokens, for a total of at least 8193 tokens. Please reduce the length of the "
    "input prompt or the number of requested output tokens. (parameter=input_tokens, value=8183)",
}


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        ({"messages": []}, 400, None, WORDS["empty"]),
        ({"messages": HI, "model": "nope"}, 404, "model", WORDS["model"]),
        ({"messages": HI, "max_tokens": 100000}, 400, "max_tokens", WORDS["output"]),
        ({"messages": HI, "temperature": -1}, 400, "temperature", WORDS["temperature"]),
        ({"messages": HI, "temperature": 0, "n": 2, "stop": ["h"]}, 400, None, WORDS["greedy"]),
        ({"messages": LONG}, 400, "input_tokens", WORDS["prompt"]),
        ({"messages": LONG, "max_tokens": 10}, 400, "input_tokens", WORDS["both"]),
        ({"messages": HI, "temperature": 3}, 400, "temperature", "temperature must be in [0, 2], got 3.0."),
        ({"messages": HI, "top_p": 0}, 400, "top_p", "top_p must be in (0, 1], got 0.0."),
        ({"messages": HI, "top_k": -5}, 400, None, "top_k must be 0 (disable), or at least 1, got -5."),
        ({"messages": HI, "min_p": 2}, 400, None, "min_p must be in [0, 1], got 2.0."),
        ({"messages": HI, "presence_penalty": 3}, 400, None, "presence_penalty must be in [-2, 2], got 3.0."),
        ({"messages": HI, "repetition_penalty": 0}, 400, None, "repetition_penalty must be greater than zero"),
        ({"messages": HI, "stop": [""]}, 400, None, "stop cannot contain an empty string."),
        ({"messages": HI, "max_tokens": 0}, 400, "max_tokens", "max_tokens must be at least 1, got 0."),
        ({"messages": HI, "n": 0}, 400, None, "n must be at least 1, got 0."),
        ({"messages": HI, "min_tokens": 9, "max_tokens": 5}, 400, None, "min_tokens must be less than or equal to"),
        ({"messages": HI, "stream_options": {"include_usage": True}}, 400, "stream_options", "Stream options can only"),
        ({"messages": HI, "top_logprobs": 2}, 400, "top_logprobs", "`logprobs` must be set to true"),
        ({"messages": HI, "logprobs": True, "top_logprobs": 5}, 400, "top_logprobs", "chosen token's logprob only"),
        ({"messages": HI, "logit_bias": {"5": 1}}, 400, "logit_bias", "does not have logit_bias"),
        ({"messages": HI, "stop": ["a"] * 65}, 400, "stop", "over 64"),
        ({"messages": HI, "chat_template": "{{ 1 }}"}, 400, None, "untrusted chat template"),
        ({"messages": HI, "chat_template_kwargs": {"chat_template": "x"}}, 400, None, "untrusted"),
        ({"messages": HI, "tools": []}, 400, "tools", "`tools` must not be an empty array."),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages", "reads text only"),
        ({"messages": [{"content": "x"}]}, 400, "body.messages.0.role", "Field required"),
        ({}, 400, "body.messages", "Field required"),
        ({"messages": HI, "temperature": "hot"}, 400, "body.temperature", "valid number"),
        ({"messages": HI, "truncate_prompt_tokens": 9000}, 400, "truncate_prompt_tokens", "smaller truncation size"),
        (
            {"messages": HI, "continue_final_message": True, "add_generation_prompt": True},
            400,
            None,
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
        ),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, 400, None, "lone surrogate"),
        ({"messages": HI, "model": "\ud800"}, 404, "model", "The model `?` does not exist."),
        ({"messages": HI, "request_id": "\ud800"}, 400, "body.request_id", "string_unicode"),
        ({"messages": HI, "request_id": "\ud800", "stream": True}, 400, "body.request_id", "string_unicode"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, 413, None, "over max_chars = 1000000"),
    ],
)
def test_a_chat_is_refused(client, body, status, param, message):
    content = json.dumps(body)  # in ASCII, as a lone surrogate can be sent
    response = client.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    error = response.json()["error"]
    assert message in error["message"]
    assert (error["param"], error["code"]) == (param, status)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"structured_outputs": {"regex": "[0-9"}}, "Unclosed '['"),
        ({"structured_outputs": {"json": "{nope"}}, "Failed to parse JSON"),
        ({"structured_outputs": {"grammar": "root ::= ("}}, "EBNF parser error"),
        ({"structured_outputs": {"json": {"type": "nonsense"}}}, 'Unsupported type "nonsense"'),
        ({"structured_outputs": {"json": {}, "regex": "a"}}, "multiple are specified"),
        ({"structured_outputs": {}}, "none are specified"),
        ({"structured_outputs": {"json": {"type": "string", "maxLength": 70_000}}}, "to compile"),
        ({"response_format": {"type": "json_schema"}}, "'json_schema' field must be provided"),
    ],
)
def test_a_structure_that_cannot_be_used_harms_nobody_else(client, wanted, message):
    with client.stream(
        "POST",
        "/v1/chat/completions",
        json={"messages": HI, "max_tokens": 60, "temperature": 0, "ignore_eos": True, "stream": True},
    ) as beside:
        lines = beside.iter_lines()
        next(lines)
        refused = client.post("/v1/chat/completions", json={"messages": HI, "temperature": 0, **wanted})
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]
    assert refused.json()["error"]["param"] == next(iter(wanted))
