"""What is refused, in vLLM's words: the bodies are those that vLLM 0.32 answered."""

import httpx2
import pytest


def bad(message, param=None, kind="BadRequestError"):
    return {"error": {"message": message, "type": kind, "param": param, "code": 400}}


def missing(*fields):
    line = "  {'type': 'missing', 'loc': 'body.%s', 'msg': 'Field required', 'input': '<dict of 1 items>'}"
    lines = [line % field for field in fields]
    return bad("\n".join([f"{len(fields)} validation errors:", *lines]), f"body.{fields[0]}", "Bad Request")


LENGTHS = bad("Input lengths must be either 1:1, 1:N or N:N")
NO_PAIR = bad("At least one text_pair element must be given")
TOO_LONG = bad(
    "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, which "
    "exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    "(parameter=input_tokens, value=513)",
    "input_tokens",
)
TRUNCATION = "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller truncation size."
NEGATIVE = bad(
    "1 validation error:\n  {'type': 'greater_than_equal', 'loc': 'body.top_n', "
    "'msg': 'Input should be greater than or equal to 0', 'input': '-1', 'ctx': {'ge': 0}}",
    "body.top_n",
    "Bad Request",
)
NOT_THERE = "The model `nope` does not exist."
UNKNOWN = {"error": {"message": NOT_THERE, "type": "NotFoundError", "param": None, "code": 404}}
LONG = "word " * 600

SCORE = {
    "score 2:3": ("/score", {"queries": ["a", "b"], "documents": ["c", "d", "e"]}, 400, LENGTHS),
    "score N:1": ("/score", {"text_1": ["a", "b"], "text_2": ["c"]}, 400, LENGTHS),
    "score N:1, a string": ("/score", {"text_1": ["a", "b"], "text_2": "c"}, 400, LENGTHS),
    "no documents": ("/score", {"queries": "a", "documents": []}, 400, NO_PAIR),
    "no query": ("/score", {"queries": [], "documents": ["a"]}, 400, bad("At least one text element must be given")),
    "rerank nothing": ("/rerank", {"query": "a", "documents": []}, 400, NO_PAIR),
    "top_n below 0": ("/rerank", {"query": "a", "documents": ["b"], "top_n": -1}, 400, NEGATIVE),
    "another model": ("/score", {"model": "nope", "text_1": "a", "text_2": "b"}, 404, UNKNOWN),
    "another model, rerank": ("/v2/rerank", {"model": "nope", "query": "a", "documents": ["b"]}, 404, UNKNOWN),
    "a missing side": (
        "/v1/score",
        {"text": "a"},
        400,
        missing("queries", "documents", "queries", "items", "data_1", "data_2", "text_1", "text_2"),
    ),
    "too long": ("/score", {"text_1": "a", "text_2": LONG}, 400, TOO_LONG),
    "too long, rerank": ("/rerank", {"query": "a", "documents": ["b", LONG]}, 400, TOO_LONG),
    "max_tokens_per_doc below 0": (
        "/rerank",
        {"query": "a", "documents": ["b"], "max_tokens_per_doc": -1},
        400,
        bad("max_tokens_per_doc must be a non-negative integer"),
    ),
}
EMBED = {
    "dimensions": (
        "/v1/embeddings",
        {"input": "a", "dimensions": 64},
        400,
        "does not support Matryoshka embeddings; dimensions must be unset (received dimensions=64).",
    ),
    "no input": ("/v1/embeddings", {"input": []}, 400, "You must pass at least one prompt"),
    "too long": ("/v1/embeddings", {"input": LONG}, 400, "Please reduce the length of the input prompt."),
    "out of the vocabulary": ("/v1/embeddings", {"input": [101, 99999999]}, 400, "is out of vocabulary"),
    "another model": ("/v1/embeddings", {"model": "nope", "input": "a"}, 404, "The model `nope` does not exist."),
    "truncation": ("/v1/embeddings", {"input": "a", "truncate_prompt_tokens": 513}, 400, "truncation size."),
    "an encoding": ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 400, "literal_error"),
    "normalize": ("/v1/embeddings", {"input": "a", "normalize": True}, 400, "Parameter `normalize` was removed"),
    "pooling dimensions": ("/pooling", {"input": "a", "dimensions": 8}, 400, "dimensions is currently not supported"),
    "no texts": ("/v2/embed", {"texts": []}, 400, "Exactly one of texts, images, or inputs must be provided"),
    "token ids too long": ("/v1/embeddings", {"input": [101] * 600}, 400, "your prompt contains 600 input tokens"),
    "a salt": ("/v1/embeddings", {"input": "a", "cache_salt": ""}, 400, "must be a non-empty string if provided"),
    "nothing left": ("/v1/embeddings", {"input": "a", "truncate_prompt_tokens": 0}, 400, "cannot be empty"),
    "a chat": ("/v1/embeddings", {"messages": [{"role": "user", "content": "x"}]}, 400, "provide a chat template"),
    "a removed task": ("/pooling", {"input": "a", "task": "score"}, 400, "`score` task was removed; use `classify`"),
    "another removed task": ("/v1/embeddings", {"input": "a", "task": "encode"}, 400, "`encode` task was removed"),
    "texts and images": (
        "/v2/embed",
        {"texts": ["a"], "images": []},
        400,
        "Exactly one of texts, images, or inputs must be provided",
    ),
    "a text that may not be cut": (
        "/v2/embed",
        {"texts": ["a b c d"], "truncate": "NONE", "max_tokens": 2},
        400,
        "Input of 6 tokens exceeds max_tokens=2 with truncate=NONE",
    ),
    "max_tokens": ("/v2/embed", {"texts": ["a"], "max_tokens": 513}, 400, "Please request a smaller truncation size"),
    "an input_type": ("/v2/embed", {"texts": ["a"], "input_type": "search_query"}, 400, "Unsupported input_type"),
    "token ids for detokenize": ("/detokenize", {"tokens": [-1]}, 400, "greater_than_equal"),
}


@pytest.mark.parametrize(("path", "body", "status", "expected"), SCORE.values(), ids=SCORE)
def test_score_refuses_in_the_same_words(score: httpx2.Client, path, body, status, expected):
    answer = score.post(path, json=body)
    assert (answer.status_code, answer.json()) == (status, expected)


@pytest.mark.parametrize(("path", "body", "status", "said"), EMBED.values(), ids=EMBED)
def test_embed_refuses_and_says_why(embed: httpx2.Client, path, body, status, said):
    answer = embed.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert said in error["message"]


def test_json_that_is_none(score: httpx2.Client):
    answer = score.post("/score", content='{"text_1": }', headers={"Content-Type": "application/json"})
    message = (
        "1 validation error:\n  {'type': 'json_invalid', 'loc': 'body.11', 'msg': 'JSON decode error', "
        "'input': '<dict of 0 items>', 'ctx': {'error': 'Expecting value'}}"
    )
    assert (answer.status_code, answer.json()) == (400, bad(message, "body.11", "Bad Request"))


def test_another_media_type(score: httpx2.Client):
    answer = score.post("/score", content=b"text_1=a&text_2=b", headers={"Content-Type": "text/plain"})
    message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
    assert (answer.status_code, answer.json()) == (400, bad(message, None, "Bad Request"))


def test_unknown_paths_and_methods(score: httpx2.Client, embed: httpx2.Client):
    assert (score.get("/nope").status_code, score.get("/nope").json()) == (404, {"detail": "Not Found"})
    assert (score.get("/score").status_code, score.get("/score").json()) == (405, {"detail": "Method Not Allowed"})
    assert embed.post("/v1/chat/completions", json={"messages": []}).status_code == 404


def test_truncation_beyond_the_model(score: httpx2.Client):
    answer = score.post("/score", json={"text_1": "a", "text_2": "b", "truncate_prompt_tokens": 600})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(TRUNCATION[:22])


def test_a_long_list_of_mistakes_draws_a_short_answer(score: httpx2.Client):
    answer = score.post("/rerank", json={"query": "a", "documents": [{"x": i} for i in range(2000)]})
    assert answer.status_code == 400
    assert len(answer.content) < 20_000
