"""The orchestrator alone, in this process, against services that are there, slow, or away."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import anyio.abc
import httpx2
import pytest
from blockbuster import blockbuster_ctx

from app.http.server import create_app
from app.settings import AppSettings
from indexing.document import Chunk, Document
from indexing.store.local import Store, collection_path
from services.client import EmbedClient, GenerateClient, Message
from services.errors import DeadlineError
from services.settings import EndpointSettings
from tests.conftest import Stack

NOBODY = "http://127.0.0.1:9"
TEXTS = {
    "leave": "Employees get 27 days of paid leave a year. Leave is requested two weeks ahead.",
    "pump": "Pump P-17 was replaced in March 2024 by Ana Ruiz. Its pressure limit is 8 bar.",
    "tower": "The lighthouse on Skerry Point was built in 1862 by the engineer Thomas Leask.",
}

pytestmark = pytest.mark.anyio


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server of this handler, which logs nothing."""
    quiet = type(handler.__name__, (handler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@asynccontextmanager
async def serving(settings: AppSettings, base_url: str = "http://localhost") -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings)
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url=base_url) as http:
        yield http


def settings_over(stack: Stack, data_dir: Path, **overrides: Any) -> AppSettings:
    sections = {name: {"url": stack.addresses[name]} for name in ("embed", "score", "generate")}
    for section, values in overrides.items():
        sections[section] = {**sections.get(section, {}), **values}
    return AppSettings.load(data_dir=data_dir, **sections)


async def add(http: httpx2.AsyncClient, identity: str, text: str, **fields: Any) -> dict[str, Any]:
    """Add a text and wait until it can be found."""
    accepted = await http.post("/documents", json={"id": identity, "text": text, **fields})
    assert accepted.status_code == 202, accepted.text
    with anyio.fail_after(30):
        while (job := (await http.get(f"/jobs/{accepted.json()['job_id']}")).json())["state"] == "running":
            await anyio.sleep(0.02)
    assert job["state"] == "done", job
    return dict(accepted.json())


@pytest.fixture
async def data_dir(stack: Stack, tmp_path: Path) -> Path:
    async with serving(settings_over(stack, tmp_path)) as http:
        for identity, text in TEXTS.items():
            await add(http, identity, text)
    return tmp_path


ASK = {"question": "Who replaced pump P-17?"}


@pytest.mark.parametrize(
    ("section", "stage", "finish"),
    [("embed", "embed", None), ("score", "rerank", None), ("generate", "generate", "quoted")],
)
async def test_without_a_service_the_answer_is_degraded_and_says_so(
    stack: Stack, data_dir: Path, section: str, stage: str, finish: str | None
) -> None:
    async with serving(settings_over(stack, data_dir, **{section: {"url": NOBODY}})) as http:
        answer = await http.post("/ask", json=ASK)
        ready = await http.get("/health/ready")
    body = answer.json()
    assert answer.status_code == 200
    assert stage in body["degraded"]
    assert any(warning.startswith(stage) for warning in body["warnings"])
    assert body["sources"][0]["document_id"] == "pump"
    assert finish in {None, body["finish_reason"]}
    services = {name: name != section for name in ("embed", "score", "generate")}
    assert ready.status_code == 200, "it answers"
    assert ready.json() == {"status": "degraded", "index": True, "services": services}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ask", b'{"question": "\xff"}'),
        ("/ask", rb'{"question": "\ud800"}'),
        ("/ask", rb'{"messages": [{"role": "user", "content": "\ud800"}]}'),
        ("/search", rb'{"query": "\ud800"}'),
    ],
)
async def test_what_is_no_unicode_is_the_clients_fault(stack: Stack, data_dir: Path, path: str, body: bytes) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        answer = await http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


async def test_without_any_service_the_passages_come_by_bm25(stack: Stack, data_dir: Path) -> None:
    away = {name: {"url": NOBODY} for name in ("embed", "score", "generate")}
    async with serving(settings_over(stack, data_dir, **away)) as http:
        body = (await http.post("/ask", json=ASK)).json()
    assert {"embed", "rerank", "generate"} <= set(body["degraded"])
    assert not body["answered"]
    assert body["sources"][0]["document_id"] == "pump"
    assert body["sources"][0]["score_scale"] == "zscore"


async def test_what_the_documents_do_not_answer_is_said_in_the_questions_language(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        body = (await http.post("/ask", json={"question": "Wer hat die Pumpe ersetzt?", "min_score": 1.0})).json()
    assert (body["answer"], body["finish_reason"]) == ("Die Dokumente beantworten diese Frage nicht.", "not_found")


async def test_a_question_about_one_pump_is_not_answered_from_another(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        body = (await http.post("/ask", json={"question": "Who replaced pump P-99?"})).json()
        right = (await http.post("/ask", json={"question": "Who replaced pump P17?"})).json()
    assert (body["answered"], body["finish_reason"], body["citations"]) == (False, "not_found", [])
    assert body["warnings"] == ["search: no passage is about P-99"]
    assert body["sources"][0]["document_id"] == "pump"
    assert "Ana Ruiz" in right["answer"]


async def test_each_sentence_of_a_text_is_verified_against_the_documents(stack: Stack, data_dir: Path) -> None:
    text = (
        "# Notes\n\nIts pressure limit is 8 bar. The lighthouse was not built in 1862 by Thomas Leask. "
        "Ana Ruiz replaced pump P-17. Employees get 30 days of paid leave a year."
    )
    async with serving(settings_over(stack, data_dir)) as http:
        results = (await http.post("/verify", json={"text": text})).json()["results"]
    assert [(each["support"], each["source"]["document_id"]) for each in results] == [
        ("quoted", "pump"),
        ("contradicted", "tower"),
        ("entailed", "pump"),
        ("unsupported", "leave"),
    ]
    assert [each["verified"] for each in results] == [True, False, True, False]
    for each in results:
        document = TEXTS[each["source"]["document_id"]]
        assert document[each["quote_start"] : each["quote_end"]] == each["quote"]
        assert text[each["start"] : each["end"]] == each["claim"]
        assert (each["why"] == "") == each["verified"]
    assert results[3]["why"] == "not there: 30"


async def test_claims_are_verified_against_their_passage_or_else_the_documents(stack: Stack, data_dir: Path) -> None:
    claims = [
        {"claim": "The gate opens at 9.", "passage": "Welcome. The gate opens at 9."},
        {"claim": "Ana Ruiz replaced pump P-17.", "passage": "The gate opens at 9."},
        {"claim": "Pump P-17 was replaced by Ana Ruiz."},
    ]
    async with serving(settings_over(stack, data_dir, embed={"url": NOBODY})) as http:
        answer = (await http.post("/verify", json={"claims": claims})).json()
    given, wrong, found = answer["results"]
    assert (given["support"], given["quote"], given["quote_start"]) == ("quoted", "The gate opens at 9.", 9)
    assert (wrong["support"], wrong["source"]) == ("unsupported", None)
    assert (found["support"], found["source"]["document_id"]) == ("entailed", "pump")
    assert answer["degraded"] == ["embed"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"text": "a.", "claims": [{"claim": "b"}]}, 400),
        ({"claims": []}, 400),
        ({"claims": [{"claim": "b", "passages": "c"}]}, 400),
        ({"text": "One. " * 257}, 413),
        ({"text": "x", "collection": "nope"}, 404),
    ],
)
async def test_a_bad_verification_gets_a_clear_error(
    stack: Stack, data_dir: Path, body: dict[str, Any], status: int
) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        answer = await http.post("/verify", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "body"),
        ({"question": ""}, 400, "body"),
        ({"question": 5}, 400, "body.question"),
        ({"question": "x", "top_k": 0}, 400, "body.top_k"),
        ({"question": "x", "top_n": 101}, 400, "body.top_n"),
        ({"question": "x", "misspelt": 1}, 400, "body.misspelt"),
        ({"question": "x", "messages": [{"role": "user", "content": "y"}]}, 400, "body"),
        ({"messages": [{"role": "assistant", "content": "y"}]}, 400, "body"),
        ({"question": "x", "collection": "../etc"}, 400, "body.collection"),
        ({"question": "x", "collection": "nope"}, 404, "collection"),
        ({"question": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, 400, None),
        ({"question": "x" * 100_000}, 413, None),
    ],
)
async def test_a_bad_question_gets_a_clear_error(
    stack: Stack, data_dir: Path, body: dict[str, Any], status: int, param: str | None
) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        answer = await http.post("/ask", json=body)
        streamed = await http.post("/ask", json={**body, "stream": True})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert param is None or error["param"] == param
    assert "Traceback" not in error["message"]
    assert streamed.status_code == status


async def test_an_empty_index_says_how_to_fill_it(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        nothing = await http.post("/ask", json=ASK)
        await http.post("/collections", json={"name": "default"})
        empty = await http.post("/ask", json=ASK)
    for answer in (nothing, empty):
        assert answer.status_code == 404
        assert "ragline index" in answer.json()["error"]["message"]


async def test_documents_are_added_replaced_listed_and_deleted(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        first = await add(http, "code", "The door code is 4711.", title="Codes", metadata={"floor": 2})
        second = await add(http, "code", "The door code is 9023.")
        assert (first["already_existed"], second["already_existed"]) == (False, True)
        answer = (await http.post("/ask", json={"question": "What is the door code?"})).json()
        assert "9023" in answer["answer"]
        assert "4711" not in answer["answer"]
        assert [row["id"] for row in (await http.get("/documents")).json()["documents"]] == ["code"]
        assert [c["text"] for c in (await http.get("/documents/code/chunks")).json()] == ["The door code is 9023."]
        assert (await http.delete("/documents/code")).status_code == 204
        assert (await http.delete("/documents/code")).status_code == 404
        assert (await http.post("/ask", json={"question": "What is the door code?"})).status_code == 404


async def test_an_upload_is_indexed_and_a_bad_one_says_why(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        for name, content, state in (
            ("../../a b.md", b"# Title\n\nThe answer is 42.", "done"),
            ("x.pdf", b"%PDF-1.4 rubbish", "failed"),
        ):
            accepted = (await http.post("/documents", files={"file": (name, content)})).json()
            with anyio.fail_after(60):
                while (job := (await http.get(f"/jobs/{accepted['job_id']}")).json())["state"] == "running":
                    await anyio.sleep(0.05)
            assert job["state"] == state, job
        assert job["failed"][0]["source"] == "x.pdf"
        assert job["failed"][0]["reason"]
        (row,) = (await http.get("/documents")).json()["documents"]
        assert row["url"] == "a b.md"
    assert not list((tmp_path / "uploads").iterdir())


async def test_filters_and_collections_keep_documents_apart(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "a", TEXTS["pump"], metadata={"year": 2024})
        await add(http, "b", TEXTS["pump"], metadata={"year": 2020})
        await add(http, "c", TEXTS["pump"], collection="other")
        filtered = {"query": "pump", "filters": {"type": "lt", "key": "year", "value": 2022}}
        assert [hit["document_id"] for hit in (await http.post("/search", json=filtered)).json()["results"]] == ["b"]
        other = {"query": "pump", "collection": "other"}
        assert [hit["document_id"] for hit in (await http.post("/search", json=other)).json()["results"]] == ["c"]
        assert [c["name"] for c in (await http.get("/collections")).json()["collections"]] == ["default", "other"]
        assert (await http.delete("/collections/other")).status_code == 204
        assert (await http.post("/search", json=other)).status_code == 404


async def test_a_text_that_stands_in_several_documents_is_one_passage(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        for copy in ("first", "second", "third"):
            await add(http, copy, TEXTS["pump"], metadata={"copy": copy})
        await add(http, "tower", TEXTS["tower"])
        query = {"query": "Who replaced the pump P-17?", "rerank_depth": 2, "top_n": 2, "min_score": 0}
        results = (await http.post("/search", json=query)).json()["results"]
        assert [(hit["text"], hit["rank_before"]) for hit in results] == [(TEXTS["pump"], 1), (TEXTS["tower"], 2)]
        third = {**query, "filters": {"type": "eq", "key": "copy", "value": "third"}}
        assert [hit["document_id"] for hit in (await http.post("/search", json=third)).json()["results"]] == ["third"]


async def test_top_n_passages_are_kept_and_each_of_them_is_reranked(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path, ask={"rerank_depth": 2, "min_score": 0.0})) as http:
        for number in range(8):
            await add(http, f"pump-{number}", f"The pump P-{number} was replaced in 201{number}.")

        async def search(**fields: object) -> tuple[list[dict[str, Any]], list[str]]:
            body = (await http.post("/search", json={"query": "Which pump was replaced?", **fields})).json()
            return body["results"], body["warnings"]

        for fields in ({"top_n": 6}, {"top_n": 6, "top_k": 3}, {"top_n": 6, "top_k": 100}):
            results, warnings = await search(**fields)
            assert len({hit["document_id"] for hit in results}) == 6
            assert {hit["score_scale"] for hit in results} == {"probability"}
            relevant = [hit["score"] > 0.5 for hit in results]
            assert relevant == sorted(relevant, reverse=True)
            assert warnings == []
        results, warnings = await search(top_n=6, rerank_depth=3)
        assert [hit["score_scale"] for hit in results] == ["probability"] * 6
        assert warnings == ["rerank: rerank_depth 3 is less than top_n, so 6 candidates were read"]
        for fields in ({"top_n": 6, "rerank_depth": 0}, {"top_n": 6, "rerank": False}):
            results, _ = await search(**fields)
            assert [hit["rank_before"] for hit in results] == [1, 2, 3, 4, 5, 6]
            assert {hit["score_scale"] for hit in results} == {"zscore"}
        results, warnings = await search(top_n=2, top_k=2)
        assert (len(results), warnings) == (2, [])


async def test_a_citation_has_the_page_of_its_quote(stack: Stack, tmp_path: Path) -> None:
    """One chunk over three pages; the source says where it begins and ends."""
    parts = ("The plan of the park.\n", "The oak is 300 years old.\n", "The fountain was built in 1931 by Olga Brandt.")
    text, pages = "".join(parts), (0, len(parts[0]), len(parts[0] + parts[1]))
    settings = settings_over(stack, tmp_path)
    async with serving(settings) as http:
        await add(http, "other", TEXTS["pump"])
        embedder = EmbedClient(settings.embed)
        vectors = await embedder.embed([text], input_type="document", deadline=time.monotonic() + 30)
        await embedder.aclose()
        document = Document("park", "/made/park.pdf", "Park", text, "application/pdf", {}, pages, "0" * 64)
        with Store.open(collection_path(tmp_path, "default")) as store:
            store.put([(document, [Chunk(0, text, 0, len(text), 1, "")], vectors)])
        answer = (await http.post("/ask", json={"question": "Who built the fountain?"})).json()
        assert "Olga Brandt" in answer["answer"]
        (citation,) = [each for each in answer["citations"] if "Olga Brandt" in each["quote"]]
        assert (citation["document_id"], citation["page"]) == ("park", 3)
        assert text[citation["quote_start"] : citation["quote_end"]] == citation["quote"]
        assert [(source["page"], source["page_end"]) for source in answer["sources"][:1]] == [(1, 3)]
        (pump,) = [
            hit
            for hit in (await http.post("/search", json={"query": "pump"})).json()["results"]
            if hit["document_id"] == "other"
        ]
        assert (pump["page"], pump["page_end"]) == (None, None)


async def test_the_old_names_are_taken_and_said_to_be_old(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path, ask={"min_score": 0.0})) as http:
        for number in range(8):
            await add(http, f"pump-{number}", f"The pump P-{number} was replaced in 201{number}.")
        for fields, kept in (({"top_k": 3}, 3), ({"top_k": 7, "retrieve_k": 50}, 7), ({"retrieve_k": 50}, 5)):
            body = (await http.post("/search", json={"query": "Which pump was replaced?", **fields})).json()
            assert len(body["results"]) == kept
            assert [warning.partition(":")[0] for warning in body["warnings"]] == ["deprecated"]
            assert "top_n" in body["warnings"][0]


async def test_a_request_that_names_no_collection_goes_to_the_default_or_the_only_one(
    stack: Stack, tmp_path: Path
) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "a", TEXTS["pump"], collection="plant")
        assert (await http.get("/collections")).json()["default"] == "plant"
        assert (await http.post("/ask", json=ASK)).json()["sources"][0]["document_id"] == "a"
        assert (await http.get("/documents/a")).status_code == 200
        await add(http, "b", TEXTS["pump"], collection="other")
        assert (await http.post("/ask", json=ASK)).status_code == 404
        await add(http, "c", TEXTS["pump"], collection="default")
        assert (await http.post("/ask", json=ASK)).json()["sources"][0]["document_id"] == "c"


async def test_a_key_guards_all_but_probes_and_the_page(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir, server={"api_key": "secret"})) as http:
        for path in ("/", "/health/live", "/health/ready", "/metrics"):
            assert (await http.get(path)).status_code == 200
        for method, path in (("POST", "/ask"), ("POST", "/search"), ("GET", "/documents"), ("GET", "/collections")):
            assert (await http.request(method, path, json=ASK)).status_code == 401
        right = {"Authorization": "Bearer secret"}
        assert (await http.post("/ask", json=ASK, headers=right)).status_code == 200
        assert (await http.post("/ask", json=ASK, headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_pages_of_other_sites_are_refused(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir)) as http:
        assert (await http.get("/documents", headers={"Origin": "https://evil.example"})).status_code == 403
        assert (await http.get("/documents", headers={"Host": "evil.example"})).status_code == 403
        assert (await http.get("/documents", headers={"Origin": "http://localhost"})).status_code == 200


async def test_only_names_that_are_ours_are_answered(stack: Stack, data_dir: Path) -> None:
    async with serving(settings_over(stack, data_dir, server={"hosts": ["rag.example"]})) as http:
        assert (await http.get("/documents", headers={"Host": "rag.example:8000"})).status_code == 200
        assert (await http.get("/documents", headers={"Host": "127.0.0.1:8000"})).status_code == 200
        assert (await http.get("/health/live", headers={"Host": "10.0.0.7"})).status_code == 200
        refused = await http.get("/documents", headers={"Host": "10.0.0.7"})
        assert refused.status_code == 403
        assert "server.hosts" in refused.json()["error"]["message"]
        assert (await http.get("/documents", headers={"Origin": "http://["})).status_code == 403


async def test_a_deadline_ends_what_a_service_does_not(stack: Stack, data_dir: Path) -> None:
    """A generator that accepts and never answers: the passages are quoted within the time."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        slow = {"generate": {"url": f"http://127.0.0.1:{port}"}, "ask": {"deadline_s": 20.0}}
        async with serving(settings_over(stack, data_dir, **slow)) as http:
            with anyio.fail_after(30):
                body = (await http.post("/ask", json=ASK)).json()
    assert "generate" in body["degraded"]
    assert body["finish_reason"] == "quoted"
    assert "Ana Ruiz" in body["answer"]


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """The address of a service that refuses everything with this status."""

    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

    with answering(Refuses) as url:
        yield url


@pytest.mark.parametrize("status", [400, 401, 413])
async def test_what_a_service_refuses_is_not_the_users_fault_and_its_address_is_nobodys(
    stack: Stack, data_dir: Path, status: int
) -> None:
    with refusing(status) as url:
        async with serving(settings_over(stack, data_dir, score={"url": url})) as http:
            answer = await http.post("/search", json={"query": "Who replaced the pump P-17?"})
            counted = (await http.get("/metrics")).text
    assert 'ragline_degraded_total{stage="rerank"} 1.0' in counted
    assert answer.status_code == 200
    assert answer.json()["degraded"] == ["rerank"]
    assert answer.json()["results"][0]["document_id"] == "pump"
    assert "the score service says" in answer.json()["warnings"][0]
    assert url not in answer.text


async def test_the_deadline_of_a_stream_ends_it_and_not_who_reads_it(stack: Stack) -> None:
    client = GenerateClient(EndpointSettings(url=stack.addresses["generate"]))
    deadline = time.monotonic() + 5.0
    messages: list[Message] = [{"role": "user", "content": "Count to a thousand."}]
    deltas = client.stream(messages, deadline=deadline, max_tokens=1500, extra_body={"ignore_eos": True})
    await anext(deltas)
    await anyio.sleep(max(deadline + 0.2 - time.monotonic(), 0))
    with pytest.raises(DeadlineError):
        [delta async for delta in deltas]
    await client.aclose()


async def test_the_event_loop_is_never_blocked(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        with blockbuster_ctx(["app", "indexing", "services"]):
            await add(http, "pump", TEXTS["pump"])
            files = {"file": ("leave.txt", TEXTS["leave"].encode())}
            assert (await http.post("/documents", files=files)).status_code == 202
            await add(http, "tower", TEXTS["tower"])
            assert (await http.post("/ask", json=ASK)).json()["degraded"] == []
            assert (await http.post("/ask", json={**ASK, "stream": True})).text.count("event: done") == 1
            assert (await http.post("/search", json={"query": "pump"})).json()["results"]
            assert (await http.get("/documents")).status_code == 200
            assert (await http.get("/collections")).status_code == 200
            assert (await http.get("/health/ready")).status_code == 200
            assert (await http.delete("/documents/pump")).status_code == 204
