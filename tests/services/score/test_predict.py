"""TEI's /predict, which reads pairs: a classifier's labels by the names and in the order of its own config."""

from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from services.client import EntailmentClient
from services.settings import EncoderSettings
from tests.services.conftest import Launch, Served
from tests.services.score import tiny_classifier

LABELS = {"neutral": "perhaps", "contradiction": "denies", "entailment": "holds"}


@pytest.fixture(scope="module")
def served(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return launch(tiny_classifier.write(tmp_path_factory.mktemp("nli"), LABELS), "--task", "verify")


@pytest.fixture(scope="module")
def http(served: Served) -> Iterator[httpx2.Client]:
    with served.client() as client:
        yield client


def softmax(*logits: float) -> list[float]:
    return [float(p) for p in np.exp(logits) / np.exp(logits).sum()]


def test_labels_come_with_their_probabilities_highest_first(http):
    answer = http.post("/predict", json={"inputs": ["a b", "c holds"]}).json()
    assert [each["label"] for each in answer] == ["entailment", "neutral", "contradiction"]
    assert [each["score"] for each in answer] == pytest.approx(softmax(6, 2, 0))


def test_a_batch_holds_texts_and_pairs(http):
    answer = http.post("/predict", json={"inputs": [["a", "denies"], ["a"], ["holds", "b"]]}).json()
    assert [labels[0]["label"] for labels in answer] == ["contradiction", "neutral", "entailment"]
    assert http.post("/predict", json={"inputs": "a"}).json() == answer[1]


def test_raw_scores_are_logits(http):
    answer = http.post("/predict", json={"inputs": ["a", "holds"], "raw_scores": True}).json()
    assert {each["label"]: each["score"] for each in answer} == {"entailment": 6, "neutral": 2, "contradiction": 0}


@pytest.mark.parametrize("inputs", [[], [[]], [["a", "b", "c"]], ["a", "b", "c"], 3, None])
def test_what_is_neither_a_text_nor_a_pair_is_refused(http, inputs):
    assert http.post("/predict", json={"inputs": inputs}).status_code == 400


def test_what_is_too_long_is_refused_or_cut(http):
    body = {"inputs": ["word " * 100, "holds"]}
    assert http.post("/predict", json=body).status_code == 400
    assert http.post("/predict", json={**body, "truncate": True}).json()[0]["label"] == "entailment"


@pytest.mark.anyio
async def test_our_own_client_reads_the_labels_of_each_pair(served):
    client = EntailmentClient(EncoderSettings(url=served.url))
    first, second = await client.labels([("a", "holds"), ("word " * 100, "denies")])
    await client.aclose()
    assert list(first) == ["entailment", "neutral", "contradiction"]
    assert max(second, key=second.__getitem__) == "contradiction"
