"""What the score service does beyond vLLM's contract, with a preset's knowledge of its model."""

import concurrent.futures

import numpy as np
import pytest

from services.client import ScoreClient
from services.settings import ScoreSettings

QUERY = "What is the capital of France?"
PARIS = "Paris is the capital and most populous city of France."
BERLIN = "The capital of Germany is Berlin."


def test_the_scale_is_the_models_own_and_named(score):
    body = {"query": QUERY, "documents": [BERLIN, PARIS]}
    own = score.post("/rerank", json=body).json()
    raw = score.post("/rerank", json={**body, "use_activation": False}).json()
    assert own["score_scale"] == raw["score_scale"] == "logit", "the published model has Identity as its activation"
    assert own["results"] == raw["results"]
    assert own["results"][0]["relevance_score"] > 5
    assert score.get("/v1/models").json()["data"][0]["score_scale"] == "logit"


def test_documents_as_objects_with_text(score):
    strings = score.post("/v1/rerank", json={"query": QUERY, "documents": [BERLIN, PARIS]}).json()["results"]
    objects = [{"text": BERLIN, "id": 7}, {"text": PARIS}]
    assert score.post("/v1/rerank", json={"query": QUERY, "documents": objects}).json()["results"] == strings
    assert score.post("/score", json={"text_1": {"text": QUERY}, "text_2": objects}).status_code == 200


def test_return_documents(score):
    body = {"query": QUERY, "documents": [BERLIN, PARIS], "return_documents": False}
    assert all("document" not in result for result in score.post("/rerank", json=body).json()["results"])
    body["return_documents"] = True
    assert score.post("/rerank", json=body).json()["results"][0]["document"]["text"] == PARIS


def test_images_are_refused(score):
    part = {"content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}
    answer = score.post("/rerank", json={"query": QUERY, "documents": [part]})
    assert answer.status_code == 400
    assert "MultiModalParam is not supported for" in answer.json()["error"]["message"]


def test_kserves_path(score):
    assert score.post("/openai/v1/rerank", json={"query": QUERY, "documents": [PARIS]}).status_code == 200


def test_concurrent_equals_sequential(score):
    pairs = [(f"question {i}", [f"answer {j} " * (1 + (i * j) % 40) for j in range(5)]) for i in range(12)]

    def ask(pair):
        body = {"queries": pair[0], "documents": pair[1]}
        return [d["score"] for d in score.post("/score", json=body).json()["data"]]

    one_by_one = [ask(pair) for pair in pairs]
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask, pairs)) == one_by_one


def test_a_cross_encoder_has_no_embeddings(score):
    assert score.post("/v1/embeddings", json={"input": "a"}).status_code == 404


@pytest.mark.anyio
async def test_our_own_client(score_server):
    client = ScoreClient(ScoreSettings(url=score_server.url, model="ms-marco-MiniLM-L-12-v2-int8"))
    scores = await client.score(QUERY, [BERLIN, PARIS, "word " * 1000])
    assert scores.dtype == np.float32
    assert scores.argmax() == 1
    assert scores[1] > 5
    await client.aclose()
