"""What is answered, what in part, and what is not found; and what a language model writes in place of an answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.settings import AppSettings
from tests.app.http.test_server import NOBODY, TEXTS, add, answering, serving, settings_over
from tests.app.http.test_stream import listening
from tests.conftest import Stack

pytestmark = pytest.mark.anyio

NOT_FOUND = "The documents do not answer this question."
WHOLE = {"evidence_sentences": 0, "prompt": "answer", "grounding": "mark"}
"""As profiles with a large language model have it."""


@contextmanager
def writing(*pieces: str) -> Iterator[str]:
    """The address of a language model that writes these pieces."""

    class Writes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("application/json", b'{"data": [{"id": "m", "max_model_len": 4096}]}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
            choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            lines = [f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n" for choice in choices]
            self._answer("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

        def _answer(self, media_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body)

    with answering(Writes) as url:
        yield url


async def asked(settings: AppSettings, question: str, **body: Any) -> dict[str, Any]:
    async with serving(settings) as http:
        for identity, text in TEXTS.items():
            await add(http, identity, text)
        answer: httpx2.Response = await http.post("/ask", json={"question": question, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_three_outcomes(stack: Stack, tmp_path: Path) -> None:
    settings = settings_over(stack, tmp_path)
    answered = await asked(settings, "Who replaced pump P-17?")
    partial = await asked(settings, "Who replaced pump P-17 in March 2024, Ana Ruiz or Borealis?", min_score=0)
    absent = await asked(settings, "How are tomatoes fried in Portugal?")
    assert [each["outcome"] for each in (answered, partial, absent)] == ["answered", "partial", "not_found"]
    assert [each["answered"] for each in (answered, partial, absent)] == [True, True, False]
    assert [each["missing"] for each in (answered, partial, absent)] == [[], ["Borealis"], ["Portugal"]]
    assert answered["answerability"] > 0.8
    assert absent["answerability"] < 0.2
    assert "Ana Ruiz" in partial["answer"]
    assert partial["answer"].endswith("\n\nThe documents do not say anything about: Borealis.")
    assert (absent["answer"], absent["finish_reason"], absent["citations"]) == (NOT_FOUND, "not_found", [])
    assert len(absent["sources"]) == 3, "the nearest"
    assert "evidence" not in absent["timings_ms"]


async def test_the_threshold_is_the_profiles_and_none_holds_where_nothing_is_read(stack: Stack, tmp_path: Path) -> None:
    never = settings_over(stack, tmp_path, ask={"min_answerability": 0.0})
    always = settings_over(stack, tmp_path, ask={"min_answerability": 1.0})
    off = settings_over(stack, tmp_path, ask={"answerability": "off"})
    away = settings_over(stack, tmp_path, score={"url": NOBODY})
    question = "How are tomatoes fried in Portugal?"
    assert (await asked(never, question))["outcome"] != "not_found"
    assert (await asked(always, "Who replaced pump P-17?"))["outcome"] == "not_found"
    for settings in (off, away):
        body = await asked(settings, question)
        assert body["answerability"] is None
        assert body["finish_reason"] != "not_found"
    assert (await asked(never, question, rerank=False))["answerability"] is None


async def test_the_stream_tells_the_outcome(stack: Stack, tmp_path: Path) -> None:
    async with listening(settings_over(stack, tmp_path)) as http:
        await add(http, "pump", TEXTS["pump"])
        body = {"question": "How are tomatoes fried in Portugal?", "stream": True}
        async with http.sse("/ask", method="POST", json=body) as events:
            found = {event.event: json.loads(event.data) async for event in events if event.event != "status"}
    assert found["sources"]["answerability"] == found["done"]["answerability"] < 0.2
    assert found["delta"]["text"] == NOT_FOUND
    assert (found["done"]["outcome"], found["done"]["missing"]) == ("not_found", ["Portugal"])
    assert [source["document_id"] for source in found["sources"]["sources"]] == ["pump"]


@pytest.mark.parametrize(
    "pieces",
    [
        ("NOT_IN_DOCUMENTS",),
        ("NOT", "_IN", "_DOC", "UMENTS", "."),
        ("**NOT_IN", "_DOCUMENTS** The passages ", "are about pumps."),
        ("The passages do not ", "say who paid."),
    ],
)
async def test_a_denial_of_the_model_is_the_fixed_sentence(
    stack: Stack, tmp_path: Path, pieces: tuple[str, ...]
) -> None:
    with writing(*pieces) as url:
        settings = settings_over(stack, tmp_path, ask=WHOLE, generate={"url": url})
        english = await asked(settings, "Who replaced pump P-17?")
        german = await asked(settings, "Wer hat die Pumpe P-17 ersetzt?")
    for body, said in ((english, NOT_FOUND), (german, "Die Dokumente beantworten diese Frage nicht.")):
        assert (body["answer"], body["answered"], body["outcome"]) == (said, False, "not_found")
        assert (body["finish_reason"], body["degraded"]) == ("not_found", [])
        assert body["sources"][0]["document_id"] == "pump"


async def test_the_model_may_deny_a_part(stack: Stack, tmp_path: Path) -> None:
    with writing("Ana Ruiz replaced it [1].", " NOT_IN", "_DOCUMENTS") as url:
        body = await asked(settings_over(stack, tmp_path, ask=WHOLE, generate={"url": url}), "Who replaced pump P-17?")
    assert (body["outcome"], body["answered"], body["missing"]) == ("partial", True, [])
    assert body["answer"].strip() == "Ana Ruiz replaced it [1]."
    assert [citation["verified"] for citation in body["citations"]] == [True]


async def test_evidence_is_quoted_where_a_small_model_denies(stack: Stack, tmp_path: Path) -> None:
    with writing("The text does not say.") as url:
        body = await asked(settings_over(stack, tmp_path, generate={"url": url}), "Who replaced pump P-17?")
    assert (body["outcome"], body["finish_reason"]) == ("answered", "quoted")
    assert "Ana Ruiz" in body["answer"]


async def test_a_failed_service_is_no_outcome(stack: Stack, tmp_path: Path) -> None:
    body = await asked(settings_over(stack, tmp_path, ask=WHOLE, generate={"url": NOBODY}), "Who replaced pump P-17?")
    assert (body["outcome"], body["answered"], body["degraded"]) == (None, False, ["generate"])


async def test_scores_that_are_no_logits_refuse_nothing(stack: Stack, tmp_path: Path) -> None:
    """A server that answers probabilities, though it is asked for logits."""

    class Probabilities(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["documents"]
            body = json.dumps({"data": [{"index": i, "score": 0.9 / (i + 1)} for i in range(len(texts))]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with answering(Probabilities) as url:
        body = await asked(settings_over(stack, tmp_path, score={"url": url}), "Who replaced pump P-17?")
    assert body["degraded"] == []
    assert (body["answerability"], body["outcome"]) == (None, "answered")
