"""What the embed service does beyond vLLM's contract, with a preset's knowledge of its model."""

import json

import httpx2
import numpy as np
import pytest

from services.client import EmbedClient
from services.settings import EndpointSettings

PREFIX = "Represent this sentence for searching relevant passages: "
QUERY = "what is a barrel"


def vectors(client: httpx2.Client, **body) -> np.ndarray:
    answer = client.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    return np.array([d["embedding"] for d in answer.json()["data"]])


def test_input_type_and_prompt_name_put_the_models_prefix_on(embed):
    expected = vectors(embed, input=PREFIX + QUERY)
    assert vectors(embed, input=QUERY, input_type="query") == pytest.approx(expected, abs=1e-6)
    assert vectors(embed, input=QUERY, prompt_name="query") == pytest.approx(expected, abs=1e-6)
    assert vectors(embed, input=QUERY, input_type="document") == pytest.approx(vectors(embed, input=QUERY), abs=1e-6)


def test_an_unknown_prompt_lists_the_known(embed):
    answer = embed.post("/v1/embeddings", json={"input": "a", "prompt_name": "poem"})
    assert answer.status_code == 400
    assert "query, document" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/openai/v1/embeddings", "/embeddings"])
def test_every_path(embed, path):
    assert embed.post(path, json={"input": "a"}).status_code == 200


def test_a_row_is_what_it_is_in_any_company(embed):
    texts = [f"number {i} " * (1 + i % 30) for i in range(60)]
    together = vectors(embed, input=texts)
    alone = np.concatenate([vectors(embed, input=text) for text in texts[:8]])
    assert (together[:8] == alone).all()
    assert (vectors(embed, input=texts[::-1])[::-1] == together).all()


def test_the_tokenizer_is_given_for_cutting_chunks(embed, embed_folder):
    assert embed.get("/tokenizer.json").text == (embed_folder / "tokenizer.json").read_text()


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/embeddings", {"input": "a", "priority": 1}, "priority"),
        ("/score", {"queries": "a", "documents": "b", "priority": -1}, "priority"),
        ("/v2/embed", {"texts": ["a"], "priority": 1}, "priority"),
        ("/invocations", {"input": "a", "priority": 1}, "priority"),
        ("/v1/embeddings", {"input": "a", "padding": "max_length"}, "padding"),
        ("/rerank", {"query": "a", "documents": ["b"], "padding": "max_length"}, "padding"),
    ],
)
def test_what_would_silently_have_no_effect_is_refused(embed, path, body, param):
    answer = embed.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert embed.post(path, json=body | {"priority": 0, "padding": "do_not_pad"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/embeddings", {"input": "a", "model": "\ud800"}, 404, "The model `?` does not exist."),
        ("/tokenize", {"prompt": "a", "model": "\ud800"}, 404, "The model `?` does not exist."),
        ("/v1/embeddings", {"input": "a", "request_id": "\ud800"}, 400, "body.request_id"),
        ("/pooling", {"input": "a", "request_id": "\ud800"}, 400, "body.request_id"),
        ("/v1/embeddings", {"input": "\ud800"}, 400, "lone surrogate"),
        ("/v2/embed", {"texts": ["a", "\ud800"]}, 400, "lone surrogate"),
        ("/v2/embed", {"texts": ["a"], "input_type": "\ud800"}, 400, "Unsupported input_type"),
        ("/score", {"queries": "a", "documents": ["\ud800"]}, 400, "lone surrogate"),
    ],
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(embed, path, body, status, said):
    content = json.dumps(body)  # in ASCII, as it can be sent
    answer = embed.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_a_lone_surrogate_that_nobody_reads_is_ignored(embed):
    content = json.dumps({"input": "a", "user": "\ud800", "more": "\ud800"})
    assert embed.post("/v1/embeddings", content=content, headers={"Content-Type": "application/json"}).is_success


def test_timing_headers(embed):
    headers = embed.post("/v1/embeddings", json={"input": ["word " * 300] * 4}).headers
    parts = [int(headers[f"x-{name}-time"]) for name in ("tokenization", "queue", "inference")]
    assert 0 < sum(parts) <= int(headers["x-total-time"]) + 2


def test_cosine_says_so(embed):
    answer = embed.post("/score", json={"text_1": "a", "text_2": "b"}).json()
    assert answer["score_scale"] == "cosine"


@pytest.mark.anyio
async def test_our_own_client(embed_server):
    client = EmbedClient(EndpointSettings(url=embed_server.url, model="bge-small-en-v1.5-int8"))
    rows = await client.embed([QUERY, "word " * 1000], input_type="query")
    assert rows.shape == (2, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert (await client.model()).max_model_len == 512
    await client.aclose()
