"""The official clients of OpenAI and Cohere, as their users call them."""

import base64

import cohere
import httpx  # the SDK still takes the old one
import numpy as np
import openai
import pytest

QUERY = "What is the capital of France?"
DOCUMENTS = ["Berlin is in Germany.", "Paris is the capital of France.", "Rome was not built in a day."]
EMBED = "bge-small-en-v1.5-int8"
SCORE = "ms-marco-MiniLM-L-12-v2-int8"


@pytest.mark.parametrize("encoding", ["float", "base64", openai.omit])
def test_openai_embeddings(embed_server, encoding):
    with openai.OpenAI(base_url=f"{embed_server.url}/v1", api_key="none") as client:
        answer = client.embeddings.create(model=EMBED, input=DOCUMENTS, encoding_format=encoding)
    vectors = [d.embedding for d in answer.data]
    if encoding == "base64":
        vectors = [np.frombuffer(base64.b64decode(text), "<f4") for text in vectors]
    assert np.linalg.norm(np.array(vectors), axis=1) == pytest.approx([1, 1, 1], abs=1e-4)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_openai_errors_are_typed(embed_server):
    with openai.OpenAI(base_url=f"{embed_server.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.embeddings.create(model="nope", input="a")
        with pytest.raises(openai.BadRequestError, match="reduce the length"):
            client.embeddings.create(model=EMBED, input="word " * 600)


def test_openai_models(embed_server):
    with openai.OpenAI(base_url=f"{embed_server.url}/v1", api_key="none") as client:
        assert [model.id for model in client.models.list()] == [EMBED]


@pytest.mark.parametrize("below", ["", "/cohere"])
def test_cohere_rerank(score_server, below):
    with httpx.Client() as http:
        client = cohere.ClientV2("key", base_url=score_server.url + below, httpx_client=http)
        answer = client.rerank(model=SCORE, query=QUERY, documents=DOCUMENTS, top_n=2)
    assert answer.results[0].index == 1
    assert len(answer.results) == 2
    assert answer.results[0].relevance_score > answer.results[1].relevance_score


@pytest.mark.parametrize("below", ["", "/cohere"])
def test_cohere_embed_puts_the_models_prefix_before_queries(embed_server, below):
    prefixed_query = "Represent this sentence for searching relevant passages: " + QUERY
    with httpx.Client() as http:
        client = cohere.ClientV2("key", base_url=embed_server.url + below, httpx_client=http)

        def embed(input_type, text):
            types = ["float", "ubinary"]
            return client.embed(model=EMBED, input_type=input_type, texts=[text], embedding_types=types)

        query, prefixed = embed("search_query", QUERY), embed("search_document", prefixed_query)
    assert query.embeddings.float_[0] == pytest.approx(prefixed.embeddings.float_[0], abs=1e-6)
    assert len(query.embeddings.ubinary[0]) == 384 // 8
