"""/score and /rerank: every spelling, the numbers, the order, the usage."""

import math

import httpx2
import pytest

QUERY = "What is the capital of France?"
PARIS = "Paris is the capital and most populous city of France."
BERLIN = "The capital of Germany is Berlin."
EUROPE = "France is in Europe."
SPELLINGS = [("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")]


def scores(client: httpx2.Client, **body) -> list[float]:
    answer = client.post("/v1/score", json=body)
    assert answer.status_code == 200, answer.text
    return [item["score"] for item in answer.json()["data"]]


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize(("left", "right"), SPELLINGS)
def test_every_spelling_of_a_pair(score: httpx2.Client, path, left, right):
    answer = score.post(path, json={left: QUERY, right: [PARIS, BERLIN]}).json()
    assert answer["id"].startswith("score-")
    assert answer["object"] == "list"
    assert isinstance(answer["created"], int)
    assert answer["model"] == score.get("/v1/models").json()["data"][0]["id"]
    assert [(d["index"], d["object"]) for d in answer["data"]] == [(0, "score"), (1, "score")]
    assert answer["data"][0]["score"] == pytest.approx(0.9996, abs=5e-3)
    assert answer["data"][1]["score"] < 0.5
    usage = answer["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] == 21 + 17
    assert usage["completion_tokens"] == 0
    assert usage["prompt_tokens_details"] is None


def test_one_to_one_one_to_many_and_one_each(score: httpx2.Client):
    one = scores(score, text_1=QUERY, text_2=PARIS)
    many = scores(score, text_1=QUERY, text_2=[PARIS, BERLIN])
    each = scores(score, text_1=[QUERY, "Where is Berlin?"], text_2=[PARIS, BERLIN])
    assert one == pytest.approx(many[:1], abs=1e-3)
    assert each[0] == pytest.approx(one[0], abs=1e-3)
    assert scores(score, text_1=[QUERY], text_2=[PARIS]) == pytest.approx(one, abs=1e-3)
    assert each[1] > 0.9


def test_without_activation_the_number_is_the_logit(score: httpx2.Client):
    (probability,) = scores(score, queries=QUERY, documents=PARIS)
    (logit,) = scores(score, queries=QUERY, documents=PARIS, use_activation=False)
    (again,) = scores(score, queries=QUERY, documents=PARIS, use_activation=True)
    assert logit == pytest.approx(7.8, abs=0.8)
    assert probability == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert again == probability


def test_removed_names_are_ignored_as_any_unknown_field(score: httpx2.Client):
    plain = scores(score, queries=QUERY, documents=PARIS)
    assert scores(score, queries=QUERY, documents=PARIS, activation=False, softmax=True, foo=1) == plain


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_is_sorted_and_carries_the_documents(score: httpx2.Client, path):
    answer = score.post(path, json={"query": QUERY, "documents": [BERLIN, PARIS, EUROPE]}).json()
    assert answer["id"].startswith("score-")
    assert set(answer["usage"]) == {"prompt_tokens", "total_tokens"}
    assert answer["usage"]["prompt_tokens"] == 17 + 21 + 15
    best = answer["results"][0]
    assert (best["index"], best["document"]) == (1, {"text": PARIS, "multi_modal": None})
    ranked = [r["relevance_score"] for r in answer["results"]]
    assert ranked == sorted(ranked, reverse=True)
    assert sorted(r["index"] for r in answer["results"]) == [0, 1, 2]


@pytest.mark.parametrize(("top_n", "kept"), [(0, 3), (1, 1), (2, 2), (3, 3), (8000, 3)])
def test_top_n(score: httpx2.Client, top_n, kept):
    body = {"query": QUERY, "documents": [BERLIN, PARIS, EUROPE], "top_n": top_n}
    assert len(score.post("/rerank", json=body).json()["results"]) == kept


def test_equal_documents_keep_their_order(score: httpx2.Client, ours: bool):
    if not ours:
        pytest.skip("vLLM's batches give equal documents scores that differ in the last digits")
    body = {"query": QUERY, "documents": [EUROPE, PARIS, EUROPE, PARIS, EUROPE]}
    assert [r["index"] for r in score.post("/rerank", json=body).json()["results"]] == [1, 3, 0, 2, 4]


def test_a_single_document_may_be_a_string(score: httpx2.Client):
    answer = score.post("/rerank", json={"query": QUERY, "documents": PARIS}).json()
    assert answer["results"][0]["document"]["text"] == PARIS


def test_score_and_rerank_agree_and_order_is_no_matter(score: httpx2.Client):
    documents = [PARIS, EUROPE, BERLIN, "Paris", "x"]
    by_score = scores(score, queries=QUERY, documents=documents)
    backwards = scores(score, queries=QUERY, documents=documents[::-1])[::-1]
    results = score.post("/rerank", json={"query": QUERY, "documents": documents}).json()["results"]
    by_rerank = {r["index"]: r["relevance_score"] for r in results}
    assert by_score == pytest.approx(backwards, abs=2e-3)
    assert by_score == pytest.approx([by_rerank[i] for i in range(5)], abs=2e-3)


def test_truncation(score: httpx2.Client):
    long = {"text_1": QUERY, "text_2": "word " * 600}
    for limit, tokens in ((100, 100), (-1, 512), (512, 512)):
        answer = score.post("/score", json={**long, "truncate_prompt_tokens": limit})
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["prompt_tokens"] == tokens


def test_limits_of_a_query_and_of_a_document(score: httpx2.Client):
    body = {"query": QUERY, "documents": ["word " * 300, "short"], "max_tokens_per_doc": 20}
    answer = score.post("/rerank", json=body)
    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens"] == (7 + 3 + 20) + (7 + 3 + 1)
    body["max_tokens_per_query"] = 3
    assert score.post("/rerank", json=body).json()["usage"]["prompt_tokens"] == (3 + 3 + 20) + (3 + 3 + 1)


def test_a_request_id_is_in_the_answers_id(score: httpx2.Client):
    body = {"text_1": "a", "text_2": "b"}
    assert score.post("/score", json=body, headers={"X-Request-Id": "abc"}).json()["id"] == "score-abc"
    assert score.post("/score", json={**body, "request_id": "def"}).json()["id"] == "score-def"


def test_invocations_find_the_route_by_the_bodys_shape(score: httpx2.Client):
    reranked = score.post("/invocations", json={"query": QUERY, "documents": [BERLIN, PARIS]}).json()
    assert reranked["results"][0]["index"] == 1
    paired = score.post("/invocations", json={"text_1": QUERY, "text_2": PARIS}).json()
    assert paired["data"][0]["object"] == "score"


def test_classify_and_pooling_give_the_one_label(score: httpx2.Client):
    classified = score.post("/classify", json={"input": "hello"}).json()
    assert classified["id"].startswith("classify-")
    datum = classified["data"][0]
    assert (datum["index"], datum["label"], datum["num_classes"]) == (0, "LABEL_0", 1)
    assert datum["probs"][0] == pytest.approx(0.9997, abs=5e-3)
    assert classified["usage"]["prompt_tokens"] == 3
    pooled = score.post("/pooling", json={"input": "hello"}).json()
    assert pooled["data"][0]["object"] == "pooling"
    assert pooled["data"][0]["data"] == pytest.approx(datum["probs"], abs=1e-4)


def test_the_small_routes(score: httpx2.Client):
    card = score.get("/v1/models").json()["data"][0]
    assert (card["object"], card["max_model_len"], card["parent"]) == ("model", 512, None)
    assert card["permission"][0]["object"] == "model_permission"
    assert (score.get("/health").status_code, score.get("/health").content) == (200, b"")
    assert score.get("/ping").status_code == score.post("/ping").status_code == 200
    assert "version" in score.get("/version").json()
    assert score.post("/tokenize", json={"prompt": "hello world"}).json() == {
        "count": 4,
        "max_model_len": 512,
        "tokens": [101, 7592, 2088, 102],
        "token_strs": None,
    }
    assert score.post("/detokenize", json={"tokens": [101, 7592, 2088, 102]}).json() == {
        "prompt": "[CLS] hello world [SEP]"
    }
    assert "vllm:num_requests_running" in score.get("/metrics").text
