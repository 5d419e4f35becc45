"""Each example of docs/services.md, against the services of `ragline up`."""

import json
import re
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Stack

PAGE = Path(__file__).parents[2] / "docs/services.md"
PORTS = {"8001": "embed", "8002": "score", "8003": "generate"}
EXAMPLES = re.findall(r"curl localhost:(\d+)(\S+) [^\n]*\\\n\s+-d '([^']+)'", PAGE.read_text())


@pytest.fixture(scope="module")
def answers(stack: Stack) -> dict[str, dict]:
    found = {}
    for port, path, body in EXAMPLES:
        answer = httpx2.post(stack.addresses[PORTS[port]] + path, json=json.loads(body), timeout=60)
        assert answer.status_code == 200, answer.text
        found[PORTS[port] + path] = answer.json()
    return found


def test_the_examples_answer_as_the_page_says(answers: dict[str, dict]) -> None:
    assert list(answers) == ["embed/score", "score/score", "score/classify", "generate/v1/systemone"]
    alike, other = (each["score"] for each in answers["embed/score"]["data"])
    assert -1 <= other < alike <= 1
    better, worse = (each["score"] for each in answers["score/score"]["data"])
    assert better > worse
    assert answers["score/score"]["score_scale"] == "logit"
    assert [each["label"] for each in answers["score/classify"]["data"]] == ["LABEL_0", "LABEL_0"]
    decided = answers["generate/v1/systemone"]["answers"]
    assert 0 < decided["urgent"]["noul"] < 1
    assert decided["part"]["choice"] in {"seal", "motor"}
    assert 0 <= decided["damage"]["score"] <= 2
