"""The OpenAI API of the orchestrator, by the openai SDK and as the bytes that chat clients parse."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.app.http.test_server import NOBODY, TEXTS, add, settings_over
from tests.app.http.test_stream import listening
from tests.conftest import Stack

pytestmark = pytest.mark.anyio

WHO = {"role": "user", "content": "Who replaced pump P-17?"}


@pytest.fixture
async def http(stack: Stack, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with listening(settings_over(stack, tmp_path)) as http:
        for identity, text in TEXTS.items():
            await add(http, identity, text, title=identity.title())
        yield http


@asynccontextmanager
async def sdk(http: httpx2.AsyncClient) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{http.base_url}/v1".replace("//v1", "/v1"), api_key="none") as client:
        yield client


async def chunks(http: httpx2.AsyncClient, headers: dict[str, str] | None = None, **body: Any) -> list[dict[str, Any]]:
    body = {"model": "default", "messages": [WHO], "stream": True, **body}
    async with http.sse("/v1/chat/completions", method="POST", json=body, headers=headers) as events:
        data = [event.data async for event in events]
    assert data[-1] == "[DONE]"
    return [json.loads(each) for each in data[:-1]]


def quoted(url: str, text: str) -> str:
    """What the address of a citation points at, in the text of its document."""
    place = parse_qs(urlsplit(url).fragment)
    return text[int(place["start"][0]) : int(place["end"][0])]


async def test_a_collection_is_a_model(http: httpx2.AsyncClient) -> None:
    async with sdk(http) as client:
        assert [model.id async for model in client.models.list()] == ["default", "default+sources"]
        assert (await client.models.retrieve("default+sources")).id == "default+sources"
        with pytest.raises(NotFoundError, match="GET /v1/models lists"):
            await client.models.retrieve("gpt-6")
        with pytest.raises(NotFoundError, match="gpt-6"):
            await client.chat.completions.create(model="gpt-6", messages=[WHO])


async def test_a_completion_is_answered_from_the_documents_with_annotations(http: httpx2.AsyncClient) -> None:
    async with sdk(http) as client:
        said = await client.chat.completions.create(
            model="default",
            messages=[
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": WHO["content"]}]},
            ],
            tools=[{"type": "function", "function": {"name": "none", "parameters": {}}}],
            user="somebody",
        )
    message = said.choices[0].message
    assert "Ana Ruiz" in (message.content or "")
    assert said.choices[0].finish_reason == "stop"
    [citation] = [each.url_citation for each in message.annotations or []]
    assert "/documents/pump/view#" in citation.url
    assert "Ana Ruiz" in quoted(citation.url, TEXTS["pump"])
    assert citation.title == "Pump"
    assert "Ana Ruiz" in (message.content or "")[citation.start_index : citation.end_index]


async def test_each_event_of_the_stream_is_a_whole_chunk_in_the_order_that_clients_read(
    http: httpx2.AsyncClient,
) -> None:
    found = await chunks(http, stream_options={"include_usage": True})
    assert all({"id", "object", "created", "model", "choices"} <= set(each) for each in found)
    assert len({each["id"] for each in found}) == 1
    *whole, usage = found
    assert all(each["choices"][0]["index"] == 0 for each in whole)
    assert (usage["choices"], set(usage["usage"]) >= {"prompt_tokens", "completion_tokens"}) == ([], True)
    deltas = [each["choices"][0]["delta"] for each in whole]
    first = next(i for i, delta in enumerate(deltas) if "content" in delta)
    assert deltas[first] == {"role": "assistant", "content": ""}
    assert whole[first]["search_results"][0]["title"] == "Pump"
    assert "Ana Ruiz" in "".join(delta.get("content", "") for delta in deltas)
    *_, annotated, last = whole
    assert annotated["choices"][0]["delta"]["content"] == ""
    assert {each["type"] for each in annotated["choices"][0]["delta"]["annotations"]} == {"url_citation"}
    assert [each for each in whole if "citations" in each] == [annotated]
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert all(each["choices"][0]["finish_reason"] is None for each in whole[:-1])
    assert last["answered"] is True
    assert last["timings"]["total"] > 0


async def test_open_webui_gets_a_source_a_passage_and_no_annotations(http: httpx2.AsyncClient) -> None:
    found = await chunks(http, headers={"X-OpenWebUI-User-Id": "7"})
    events = [each["event"]["data"] for each in found if each.get("event", {}).get("type") == "source"]
    assert events[0]["source"]["name"] == "Pump"
    assert len({event["metadata"][0]["source"] for event in events}) == len(events)
    assert all(0 <= event["distances"][0] <= 1 for event in events)
    assert events[0]["document"] == [TEXTS["pump"]]
    assert not any("annotations" in each["choices"][0]["delta"] for each in found)
    markers = "".join(each["choices"][0]["delta"].get("content", "") for each in found)
    assert "[1]" in markers


async def test_a_model_with_sources_ends_with_links_and_its_markers_are_links(http: httpx2.AsyncClient) -> None:
    found = await chunks(http, model="default+sources")
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in found)
    answer, _, links = text.partition("\n\n**Sources**\n\n")
    assert "[[1]](http" in answer
    assert links.startswith("1. [Pump](http")
    assert answer.count("[[1]]") == 1
    assert quoted(links.splitlines()[0].rstrip(")").partition("](")[2], TEXTS["pump"]) == TEXTS["pump"]


async def test_an_earlier_answer_is_read_without_its_links(http: httpx2.AsyncClient) -> None:
    earlier = f"Ana Ruiz [[1]]({http.base_url}x).\n\n**Sources**\n\n1. [Tower]({http.base_url}x)"
    messages = [WHO, {"role": "assistant", "content": earlier}, {"role": "user", "content": "What is its limit?"}]
    assert "8 bar" in json.dumps(await chunks(http, messages=messages))


async def test_the_chores_of_a_chat_client_are_done_without_documents(http: httpx2.AsyncClient) -> None:
    def chore(asked: str) -> dict[str, Any]:
        history = "<chat_history>\nUSER: Who replaced pump P-17 in the old mill?\nASSISTANT: Ana.\n</chat_history>"
        content = f"### Task:\n{asked}\n### Output:\nJSON format\n### Chat History:\n{history}"
        return {"model": "default", "messages": [{"role": "user", "content": content}], "stream": False}

    async def answer(asked: str) -> Any:
        response = await http.post("/v1/chat/completions", json=chore(asked))
        body = response.json()
        assert "sources" not in body
        return json.loads(body["choices"][0]["message"]["content"])

    assert await answer("Generate a concise, 3-5 word title with an emoji.") == {"title": "Who replaced pump P-17 in"}
    assert await answer("Generate 1-3 broad tags categorizing the main themes.") == {"tags": []}
    assert await answer("Suggest 3-5 relevant follow-up questions or prompts.") == {"follow_ups": []}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [WHO, {"role": "assistant", "content": "Ana."}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages"),
    ],
)
async def test_what_cannot_be_answered_is_refused_by_its_name(
    http: httpx2.AsyncClient, change: dict[str, Any], param: str
) -> None:
    for stream in (False, True):
        body = {"model": "default", "messages": [WHO], "stream": stream, **change}
        response = await http.post("/v1/chat/completions", json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_the_responses_api_streams_each_citation(http: httpx2.AsyncClient) -> None:
    async with sdk(http) as client:
        whole = await client.responses.create(model="default", input="Who replaced pump P-17?")
        events = [
            event
            async for event in await client.responses.create(
                model="default", instructions="Be brief.", input=[WHO], stream=True
            )
        ]
        with pytest.raises(Exception, match="nothing is stored"):
            await client.responses.create(model="default", input="And when?", previous_response_id=whole.id)
    assert "Ana Ruiz" in whole.output_text
    assert whole.output[0].content[0].annotations[0].type == "url_citation"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    written = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert written == events[-1].response.output_text == whole.output_text
    [added] = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert "Ana Ruiz" in quoted(added.annotation.url, TEXTS["pump"])


async def test_an_answer_without_a_service_says_so(stack: Stack, tmp_path: Path) -> None:
    async with listening(settings_over(stack, tmp_path, score={"url": NOBODY})) as http:
        await add(http, "pump", TEXTS["pump"])
        last = (await chunks(http))[-1]
    assert "rerank" in last["degraded"]


async def test_the_sdk_uploads_indexes_searches_and_deletes_a_file(http: httpx2.AsyncClient, tmp_path: Path) -> None:
    text = "The ferry Marigold carries 45 passengers."
    async with sdk(http) as client:
        store = await client.vector_stores.create(name="My Boats!")
        kept = await client.files.create(file=("ferry.md", text.encode()), purpose="assistants")
        attached = await client.vector_stores.files.create_and_poll(
            kept.id, vector_store_id=store.id, attributes={"port": "Kirkwall"}, poll_interval_ms=50
        )
        broken = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("broken.pdf", b"%PDF-1.7 and no more"), poll_interval_ms=50
        )
        found = await client.vector_stores.search(
            store.id, query="How many passengers?", filters={"type": "eq", "key": "port", "value": "Kirkwall"}
        )
        assert (await client.files.content(kept.id)).content == text.encode()
        assert [file.id async for file in client.files.list()] == [kept.id, broken.id]
        assert [file.id async for file in client.vector_stores.files.list(store.id)] == [kept.id]
        batch = await client.vector_stores.file_batches.create_and_poll(
            store.id, file_ids=[kept.id, broken.id], poll_interval_ms=50
        )
        await client.vector_stores.files.delete(kept.id, vector_store_id=store.id)
        after = await client.vector_stores.search(store.id, query="How many passengers?", max_num_results=3)
        await client.files.delete(kept.id)
        with pytest.raises(NotFoundError, match="no file"):
            await client.files.retrieve(kept.id)
    assert (store.id, attached.status, attached.last_error) == ("my-boats", "completed", None)
    assert broken.status == "failed"
    assert "broken PDF" in (broken.last_error.message if broken.last_error else "")
    assert [(each.file_id, each.content[0].text) for each in found.data] == [(kept.id, text)]
    assert found.data[0].attributes == {"port": "Kirkwall"}
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
    assert after.data == []


async def test_a_file_that_is_not_there_is_404_and_an_odd_id_leads_nowhere(http: httpx2.AsyncClient) -> None:
    for path in ("/v1/files/file-0", "/v1/files/..%2F..%2Fuploads", "/v1/vector_stores/default/files/x"):
        assert (await http.get(path)).status_code == 404, path
    body = {"file_id": "file-0"}
    assert (await http.post("/v1/vector_stores/default/files", json=body)).json()["error"]["param"] == "file_id"


async def test_embeddings_are_those_of_the_embed_service(stack: Stack, http: httpx2.AsyncClient) -> None:
    async with sdk(http) as client, AsyncOpenAI(base_url=f"{stack.addresses['embed']}/v1", api_key="x") as service:
        ours = await client.embeddings.create(model="any", input=["a pump", "a tower"])
        model = (await service.models.list()).data[0].id
        with pytest.raises(BadRequestError, match="at least one"):
            await client.embeddings.create(model="any", input=[])
        theirs = await service.embeddings.create(model=model, input=["a pump", "a tower"])
    assert [each.embedding for each in ours.data] == [each.embedding for each in theirs.data]
    assert ours.model == model
