"""What is acknowledged is indexed, or its job says why not, whatever happens meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx2
import pytest

from tests.app.http.test_server import ASK, NOBODY, TEXTS, add, serving, settings_over
from tests.conftest import Stack
from tests.indexing.conftest import EmbedServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def other_embedder() -> Iterator[EmbedServer]:
    """Of another model, with vectors of another dimension."""
    server = EmbedServer()
    yield server
    server.close()


async def ended(http: httpx2.AsyncClient, accepted: httpx2.Response) -> dict[str, Any]:
    """The job, once it is done or failed."""
    assert accepted.status_code == 202, accepted.text
    with anyio.fail_after(60):
        while (job := (await http.get(f"/jobs/{accepted.json()['job_id']}")).json())["state"] == "running":
            await anyio.sleep(0.05)
    return dict(job)


async def test_what_was_acknowledged_survives_a_restart(stack: Stack, tmp_path: Path) -> None:
    """The embed service goes away after the collection was made, and comes back with the next process."""
    async with serving(settings_over(stack, tmp_path)) as http:
        await http.post("/collections", json={"name": "default"})
    async with serving(settings_over(stack, tmp_path, embed={"url": NOBODY})) as http:
        accepted = await http.post("/documents", json={"id": "late", "text": TEXTS["tower"]})
        assert accepted.status_code == 202
    async with serving(settings_over(stack, tmp_path)) as http:
        assert (await ended(http, accepted))["state"] == "done"
        assert (await http.get("/documents/late")).status_code == 200


async def test_an_upload_waits_for_a_service_that_takes_too_long(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await http.post("/collections", json={"name": "default"})
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        slow = {"url": f"http://127.0.0.1:{port}", "timeout_s": 0.2}
        async with serving(settings_over(stack, tmp_path, embed=slow)) as http:
            accepted = await http.post("/documents", json={"id": "late", "text": TEXTS["tower"]})
            await anyio.sleep(1.5)
            assert (await http.get(f"/jobs/{accepted.json()['job_id']}")).json()["state"] == "running"
    async with serving(settings_over(stack, tmp_path)) as http:
        assert (await ended(http, accepted))["state"] == "done"


async def test_folders_of_a_process_that_was_killed_hold_nobody_up(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "uploads" / "without-its-submission").mkdir(parents=True)
    half = tmp_path / "uploads" / ".half"
    half.mkdir()
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "a", TEXTS["pump"])
    assert not half.exists()


async def test_a_deleted_collection_stays_deleted_though_uploads_waited(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "a", TEXTS["pump"], collection="gone")
    async with serving(settings_over(stack, tmp_path, embed={"url": NOBODY})) as http:
        for name in ("b", "c"):
            await http.post("/documents", json={"id": name, "text": TEXTS["tower"], "collection": "gone"})
        with anyio.fail_after(30):
            assert (await http.delete("/collections/gone")).status_code == 204
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "d", TEXTS["leave"], collection="kept")
        assert [each["name"] for each in (await http.get("/collections")).json()["collections"]] == ["kept"]
    assert not list((tmp_path / "uploads").iterdir())


async def test_an_index_of_another_model_is_neither_searched_by_vectors_nor_added_to(
    stack: Stack, tmp_path: Path, other_embedder: EmbedServer
) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "a", TEXTS["pump"])
    other = {"url": other_embedder.url, "model": "hashed"}
    async with serving(settings_over(stack, tmp_path, embed=other)) as http:
        found = (await http.post("/search", json={"query": "Who replaced pump P-17?"})).json()
        assert [hit["document_id"] for hit in found["results"]] == ["a"]
        assert found["results"][0]["dense_score"] is None
        assert found["degraded"] == ["embed"]
        assert "ragline index reindex --collection default" in found["warnings"][0]
        accepted = await http.post("/documents", json={"id": "b", "text": TEXTS["tower"]})
        with anyio.fail_after(60):
            while not (job := (await http.get(f"/jobs/{accepted.json()['job_id']}")).json())["message"]:
                await anyio.sleep(0.05)
        assert job["state"] == "running"
        assert "embedding_model" in job["message"]
        assert (await http.get("/documents/b")).status_code == 404
    async with serving(settings_over(stack, tmp_path)) as http:
        assert (await ended(http, accepted))["state"] == "done"


async def test_a_collection_that_is_damaged_takes_no_other_with_it(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "a", TEXTS["pump"], collection="bad")
        accepted = await add(http, "a", TEXTS["pump"], collection="good")
    (database,) = (tmp_path / "index" / "bad").glob("*/store.sqlite3")
    for file in (tmp_path / "index" / "bad").glob("*/store.sqlite3*"):
        file.unlink()
    database.write_bytes(b"garbage" * 1000)
    async with serving(settings_over(stack, tmp_path)) as http:
        assert [each["name"] for each in (await http.get("/collections")).json()["collections"]] == ["good"]
        assert (await http.get(f"/jobs/{accepted['job_id']}")).json()["state"] == "done"
        refused = await http.post("/documents", json={"id": "b", "text": TEXTS["tower"], "collection": "bad"})
        assert refused.status_code >= 400
        await add(http, "b", TEXTS["tower"], collection="good")
        assert (await http.post("/ask", json={**ASK, "collection": "good"})).status_code == 200
        assert (await http.delete("/collections/bad")).status_code == 204
        assert (await http.get("/collections/bad")).status_code == 404


async def test_an_upload_has_the_title_and_the_id_that_were_given(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        form = {"id": "docs/bees", "title": "On bees"}
        text = "\n\n".join(f"## Part {n}\n\n" + "Bees make honey. " * 100 for n in range(3)).encode()
        job = await ended(http, await http.post("/documents", data=form, files={"file": ("bees.md", text)}))
        row = (await http.get("/documents/docs/bees")).json()
        chunks = (await http.get("/documents/docs/bees/chunks")).json()
        assert (row["id"], row["title"]) == ("docs/bees", "On bees")
        assert job["chunks"] == row["chunks"] == len(chunks) > 2
        assert (await http.delete("/documents/docs/bees")).status_code == 204
        assert (await http.get("/documents/docs/bees")).status_code == 404


async def test_an_uploaded_file_of_records_is_replaced_and_deleted_as_one(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:

        async def put(*keys: str) -> list[str]:
            lines = "\n".join(f'{{"id": "{key}", "text": "The word of {key}."}}' for key in keys)
            accepted = await http.put("/documents/words", files={"file": ("words.jsonl", lines.encode())})
            assert (await ended(http, accepted))["state"] == "done"
            return [row["id"] for row in (await http.get("/documents")).json()["documents"]]

        assert await put("a", "b") == ["words#record=a", "words#record=b"]
        assert await put("b") == ["words#record=b"]
        assert (await http.delete("/documents/words")).status_code == 204
        assert (await http.get("/documents")).json()["documents"] == []


async def test_a_read_only_collection_is_left_as_it_is(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        await add(http, "pump", TEXTS["pump"], collection="demo")
    async with serving(settings_over(stack, tmp_path, server={"read_only": ("demo",)})) as http:
        refused = [
            await http.post("/documents", json={"id": "mine", "text": TEXTS["tower"], "collection": "demo"}),
            await http.delete("/documents/pump", params={"collection": "demo"}),
            await http.delete("/collections/demo"),
        ]
        assert [answer.status_code for answer in refused] == [403] * 3
        assert all("read-only" in answer.json()["error"]["message"] for answer in refused)
        listed = (await http.get("/collections")).json()
        assert listed["default"] == "demo"  # questions find it, uploads do not
        assert (await add(http, "mine", TEXTS["tower"]))["collection"] == "default"
        listed = (await http.get("/collections")).json()
        assert listed["default"] == "default"
        assert [(each["name"], each["documents"], each["read_only"]) for each in listed["collections"]] == [
            ("default", 1, False),
            ("demo", 1, True),
        ]
