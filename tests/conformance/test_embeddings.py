"""/v1/embeddings, /pooling, /v2/embed, and a bi-encoder's /score and /rerank."""

import base64
import json

import httpx2
import numpy as np
import pytest

TEXTS = ["The cat sat on the mat", "A feline was resting on the rug", "stock prices fell"]


def embeddings(client: httpx2.Client, **body) -> np.ndarray:
    answer = client.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    return np.array([item["embedding"] for item in answer.json()["data"]], dtype=np.float32)


def test_the_shape_of_an_answer(embed: httpx2.Client):
    answer = embed.post("/v1/embeddings", json={"input": TEXTS}).json()
    assert answer["id"].startswith("embd-")
    assert answer["object"] == "list"
    assert [(d["index"], d["object"]) for d in answer["data"]] == [(i, "embedding") for i in range(3)]
    assert answer["usage"] == {
        "prompt_tokens": 23,
        "total_tokens": 23,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }


def test_vectors_are_unit_and_near_what_vllm_gave(embed: httpx2.Client):
    vectors = embeddings(embed, input=["", "hello"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-4)
    # the first numbers that vLLM's float32 gave for the empty text; int8 moves them a little
    assert vectors[0, :5] == pytest.approx([0.0459, 0.0072, 0.0175, -0.0484, -0.0252], abs=0.03)


def test_one_text_is_as_good_as_a_list_and_a_batch_as_single(embed: httpx2.Client):
    batch = embeddings(embed, input=TEXTS)
    single = np.concatenate([embeddings(embed, input=text) for text in TEXTS])
    assert (batch * single).sum(axis=1) == pytest.approx([1, 1, 1], abs=2e-3)


def test_token_ids(embed: httpx2.Client):
    ids = embed.post("/tokenize", json={"prompt": TEXTS[0]}).json()["tokens"]
    by_text = embeddings(embed, input=TEXTS[0])
    assert embeddings(embed, input=ids) == pytest.approx(by_text, abs=1e-5)
    assert embeddings(embed, input=[ids, ids]) == pytest.approx(np.repeat(by_text, 2, axis=0), abs=1e-5)
    bare = embeddings(embed, input="The cat sat on the mat", add_special_tokens=False)
    assert bare == pytest.approx(embeddings(embed, input=ids[1:-1]), abs=1e-5)


def test_base64_of_every_kind(embed: httpx2.Client):
    floats = embeddings(embed, input=TEXTS[0])[0]
    for dtype, numpy_type, off in (("float32", "f4", 1e-6), ("float16", "f2", 1e-3)):
        for endianness, order in (("native", "<"), ("little", "<"), ("big", ">")):
            body = {"input": TEXTS[0], "encoding_format": "base64", "embed_dtype": dtype, "endianness": endianness}
            text = embed.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
            assert np.frombuffer(base64.b64decode(text), order + numpy_type) == pytest.approx(floats, abs=off)
    body = {"input": TEXTS[0], "encoding_format": "base64", "embed_dtype": "bfloat16"}
    bits = np.frombuffer(
        base64.b64decode(embed.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]), "<u2"
    )
    assert (bits.astype("<u4") << 16).view("<f4") == pytest.approx(floats, abs=1e-3)


def test_bytes_with_their_metadata(embed: httpx2.Client):
    floats = embeddings(embed, input=TEXTS)
    answer = embed.post("/v1/embeddings", json={"input": TEXTS, "encoding_format": "bytes"})
    assert answer.headers["content-type"] == "application/octet-stream"
    metadata = json.loads(answer.headers["metadata"])
    read = [np.frombuffer(answer.content[d["start"] : d["end"]], "<f4").reshape(d["shape"]) for d in metadata["data"]]
    assert np.stack(read) == pytest.approx(floats, abs=1e-6)
    assert metadata["usage"]["prompt_tokens"] == 23
    only = embed.post("/v1/embeddings", json={"input": TEXTS, "encoding_format": "bytes_only"})
    assert (only.content, "metadata" in only.headers) == (answer.content, False)


def test_truncation(embed: httpx2.Client, ours: bool):
    for limit, tokens in ((5, 5), (-1, 512)):
        answer = embed.post("/v1/embeddings", json={"input": "word " * 600, "truncate_prompt_tokens": limit})
        assert answer.json()["usage"]["prompt_tokens"] == tokens
    cut = {"input": "one two three four", "truncate_prompt_tokens": 4}
    right, left = embeddings(embed, **cut), embeddings(embed, **cut, truncation_side="left")
    assert right == pytest.approx(embeddings(embed, input="one two"), abs=1e-5)
    if ours:  # vLLM cuts [CLS] off with the left end
        assert left == pytest.approx(embeddings(embed, input="three four"), abs=1e-5)


def test_without_activation_the_vector_keeps_its_length(embed: httpx2.Client):
    raw = embeddings(embed, input=TEXTS[0], use_activation=False)[0]
    unit = embeddings(embed, input=TEXTS[0])[0]
    assert np.linalg.norm(raw) > 2
    assert raw / np.linalg.norm(raw) == pytest.approx(unit, abs=1e-5)


def test_pooling_gives_the_same_vector(embed: httpx2.Client):
    answer = embed.post("/pooling", json={"input": TEXTS[0]}).json()
    assert answer["id"].startswith("pooling-")
    assert answer["data"][0]["object"] == "pooling"
    assert answer["data"][0]["data"] == pytest.approx(embeddings(embed, input=TEXTS[0])[0], abs=1e-5)


def test_cohere_embed(embed: httpx2.Client):
    body = {"texts": TEXTS, "embedding_types": ["float", "binary", "ubinary", "base64"]}
    answer = embed.post("/v2/embed", json=body).json()
    floats = np.array(answer["embeddings"]["float"])
    assert floats == pytest.approx(embeddings(embed, input=TEXTS), abs=1e-5)
    ubinary = np.array(answer["embeddings"]["ubinary"], dtype=np.uint8)
    assert (np.unpackbits(ubinary, axis=1) == (floats > 0)).all()
    assert (np.array(answer["embeddings"]["binary"]) == ubinary.astype(int) - 128).all()
    assert answer["texts"] == TEXTS
    assert answer["meta"]["api_version"]["version"] == "2"
    assert answer["meta"]["billed_units"]["input_tokens"] == 23
    assert answer["response_type"] == "embeddings_by_type"


def test_a_bi_encoder_scores_by_cosine(embed: httpx2.Client):
    vectors = embeddings(embed, input=TEXTS)
    answer = embed.post("/score", json={"queries": TEXTS[0], "documents": TEXTS[1:]}).json()
    cosines = vectors[1:] @ vectors[0]
    assert [d["score"] for d in answer["data"]] == pytest.approx(cosines.tolist(), abs=1e-3)
    assert answer["usage"]["prompt_tokens"] == 8 + 10 + 5
    reranked = embed.post("/rerank", json={"query": TEXTS[0], "documents": TEXTS[1:]}).json()
    assert [r["index"] for r in reranked["results"]] == [0, 1]
    raw = embed.post("/score", json={"queries": TEXTS[0], "documents": TEXTS[1:], "use_activation": False}).json()
    assert [d["score"] for d in raw["data"]] == pytest.approx(cosines.tolist(), abs=1e-3)
