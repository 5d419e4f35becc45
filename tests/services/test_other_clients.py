"""What LangChain, LiteLLM, the AI SDK, Open WebUI and browsers send to the model services."""

import socket
import time

import httpx2
import pytest

DOCUMENTS = ["Berlin is in Germany.", "Paris is the capital of France."]
RERANK = {"query": "What is the capital of France?", "documents": DOCUMENTS}


@pytest.mark.parametrize("field", ["max_tokens_per_doc", "max_tokens_per_query", "top_n", "priority"])
def test_null_is_what_was_not_set(score, field):
    answer = score.post("/v2/rerank", json={**RERANK, field: None})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"] == score.post("/v2/rerank", json=RERANK).json()["results"]
    assert score.post("/v2/rerank", json={**RERANK, field: "many"}).status_code == 400


@pytest.mark.parametrize("field", ["n", "min_tokens", "priority"])
def test_null_is_what_was_not_set_of_a_completion(launched, field):
    answer = launched.post("/v1/completions", json={"prompt": "Paris", "max_tokens": 1, field: None})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("path", "meta"),
    [("/v2/rerank", True), ("/cohere/v2/rerank", True), ("/v1/rerank", False), ("/rerank", False)],
)
def test_coheres_meta(score, path, meta):
    answer = score.post(path, json=RERANK).json()
    expected = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    assert answer.get("meta") == (expected if meta else None)


def test_teis_rerank_as_litellm_sends_it(score):
    body = {"query": RERANK["query"], "texts": DOCUMENTS, "raw_scores": False, "return_text": False, "truncate": True}
    answer = score.post("/rerank", json=body).json()
    ours = score.post("/rerank", json=RERANK).json()["results"]
    assert answer == [{"index": each["index"], "score": each["relevance_score"]} for each in ours]
    assert [each["index"] for each in answer] == [1, 0]
    assert score.post("/rerank", json={"query": "a"}).json()["error"]["param"] == "body.documents"


def test_teis_embed_as_litellm_and_llamaindex_send_it(embed):
    long = "word " * 1000
    answer = embed.post("/embed", json={"inputs": [*DOCUMENTS, long], "truncate": True}).json()
    ours = embed.post("/v1/embeddings", json={"input": [*DOCUMENTS, long], "truncate_prompt_tokens": -1}).json()
    for vector, datum in zip(answer, ours["data"], strict=True):
        assert vector == pytest.approx(datum["embedding"], abs=1e-6)
    [alone] = embed.post("/embed", json={"inputs": DOCUMENTS[0], "normalize": None}).json()
    assert alone == pytest.approx(answer[0], abs=1e-6)
    assert embed.post("/embed", json={"inputs": long}).status_code == 400
    assert embed.post("/embed", json={"input": "a"}).json()["error"]["param"] == "body.inputs"


def test_a_model_by_its_name(score):
    [entry] = score.get("/v1/models").json()["data"]
    alone = score.get(f"/v1/models/{entry['id']}").json()
    assert (alone["id"], alone["max_model_len"]) == (entry["id"], entry["max_model_len"])
    missing = score.get("/v1/models/org/other")
    assert missing.status_code == 404
    assert "org/other" in missing.json()["error"]["message"]


@pytest.fixture(scope="module")
def launched(launch):
    served = launch("--task", "generate", RAGLINE_GENERATE__IGNORE_TOOLS="true")
    with served.client() as client:
        yield client


def test_tools_that_are_to_be_ignored(launched):
    chat = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0}
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
    plain = launched.post("/v1/chat/completions", json=chat).json()
    offered = launched.post("/v1/chat/completions", json={**chat, "tools": tools, "tool_choice": "auto"}).json()
    assert offered["choices"] == plain["choices"]
    assert offered["usage"] == plain["usage"], "the prompt has no word of the tools"


def test_generation_metrics_and_an_idle_cache(launched):
    def metrics() -> dict[str, float]:
        lines = launched.get("/metrics").text.splitlines()
        return {
            name.partition("{")[0]: float(value) for name, value in (s.rsplit(" ", 1) for s in lines if s[0] != "#")
        }

    before = metrics()
    chat = {"messages": [{"role": "user", "content": "Count to ten."}], "max_tokens": 8, "ignore_eos": True}
    used = launched.post("/v1/chat/completions", json=chat).json()["usage"]["completion_tokens"]
    until = time.monotonic() + 30
    while (after := metrics())["vllm:kv_cache_usage_perc"] and time.monotonic() < until:
        time.sleep(0.05)
    assert after["vllm:kv_cache_usage_perc"] == 0
    assert after["vllm:num_requests_running"] == 0
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["vllm:request_generation_tokens_sum"] == used == 8
    assert grown["vllm:request_params_max_tokens_sum"] == 8
    parts = grown["vllm:request_prefill_time_seconds_sum"] + grown["vllm:request_decode_time_seconds_sum"]
    assert parts == pytest.approx(grown["vllm:request_inference_time_seconds_sum"])
    decode = grown["vllm:request_decode_time_seconds_sum"]
    assert grown["vllm:request_time_per_output_token_seconds_sum"] == pytest.approx(decode / 7)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:8002"}, {"Origin": "null"}],
)
def test_pages_of_other_sites_are_refused(score, headers):
    refused = score.post("/rerank", json=RERANK, headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["type"] == "PermissionDeniedError"
    assert score.get("/v1/models", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9999", "[::1]:8002"])
def test_loopbacks_own_names_are_answered(score, host):
    assert score.post("/rerank", json=RERANK, headers={"Host": host}).status_code == 200


def test_other_names_can_be_allowed_and_probes_need_none(launch):
    served = launch("--task", "embed", RAGLINE_EMBED__HOSTS='["models.example"]')
    with served.client() as client:
        assert client.get("/v1/models", headers={"Host": "models.example"}).status_code == 200
        assert client.get("/v1/models", headers={"Host": "other.example"}).status_code == 403
        for path in ("/health", "/ping", "/metrics"):
            assert client.get(path, headers={"Host": "10.0.0.7"}).status_code == 200


def test_an_idle_connection_stays_longer_than_uvicorns_five_seconds(score_server):
    url = httpx2.URL(score_server.url)
    with socket.create_connection((url.host, url.port)) as connection:
        for wait_s in (6, 0):
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                piece = connection.recv(10_000)
                assert piece, "the connection was closed"
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(wait_s)
