"""What was acknowledged is kept until it is indexed or deleted, and what was deleted stays deleted."""

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from app.settings import AppSettings
from tests.app.http.test_server import NOBODY, serving
from tests.indexing.conftest import EmbedServer

pytestmark = pytest.mark.anyio


def settings(embed_server: EmbedServer, data_dir: Path, **server: Any) -> AppSettings:
    services = {"score": {"url": NOBODY}, "generate": {"url": NOBODY}}
    embed = {"url": embed_server.url, "model": "hashed"}
    return AppSettings.load(data_dir=data_dir, embed=embed, server=server, **services)


@asynccontextmanager
async def waiting_for_embed(embed_server: EmbedServer, data_dir: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A server with a collection, whose embed service has just gone."""
    async with serving(settings(embed_server, data_dir)) as http:
        await http.post("/collections", json={"name": "default"})
        embed_server.fault = "503"
        yield http


async def put(http: httpx2.AsyncClient, identity: str, text: str) -> str:
    """The id of the job."""
    accepted = await http.put(f"/documents/{identity}", json={"text": text})
    assert accepted.status_code == 202, accepted.text
    return str(accepted.json()["job_id"])


async def job(http: httpx2.AsyncClient, job_id: str, *, until: str = "") -> dict[str, Any]:
    """The job: as it is, once it has ended, or once its message has a word."""
    with anyio.fail_after(60):
        while True:
            found = (await http.get(f"/jobs/{job_id}")).json()
            if found["state"] != "running" or (until and until in found["message"]):
                return dict(found)
            await anyio.sleep(0.02)


async def text_of(http: httpx2.AsyncClient, identity: str) -> str | None:
    chunks = await http.get(f"/documents/{identity}/chunks")
    return "".join(chunk["text"] for chunk in chunks.json()) if chunks.status_code == 200 else None


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
async def test_a_document_that_is_deleted_before_it_is_indexed_is_gone_for_good(
    embed_server: EmbedServer, tmp_path: Path, replacement: bool, restart: bool
) -> None:
    async with serving(settings(embed_server, tmp_path)) as http:
        await job(http, await put(http, "other", "words"))
        if replacement:
            await job(http, await put(http, "a", "old words"))
        embed_server.fault = "503"
        first, second = await put(http, "a", "new words"), await put(http, "a", "newer words")
        if not restart:
            assert (await http.delete("/documents/a")).status_code == 204
            assert (await job(http, first))["state"] == (await job(http, second))["state"] == "cancelled"
    async with serving(settings(embed_server, tmp_path)) as http:
        if restart:
            assert (await http.delete("/documents/a")).status_code == 204
        assert (await http.delete("/documents/a")).status_code == 404
        embed_server.fault = ""
        await job(http, await put(http, "last", "words"))
        assert (await job(http, first))["state"] == (await job(http, second))["state"] == "cancelled"
        assert [row["id"] for row in (await http.get("/documents")).json()["documents"]] == ["last", "other"]
    assert not list((tmp_path / "uploads").iterdir())


async def test_a_document_that_is_deleted_while_it_is_embedded_is_gone(
    embed_server: EmbedServer, tmp_path: Path
) -> None:
    async with serving(settings(embed_server, tmp_path)) as http:
        await http.post("/collections", json={"name": "default"})
        embed_server.fault = "hang"
        before = embed_server.faults
        cancelled = await put(http, "a", "words")
        with anyio.fail_after(60):
            while embed_server.faults == before:
                await anyio.sleep(0.01)
        assert (await http.delete("/documents/a")).status_code == 204
        embed_server.fault = ""
        assert (await job(http, await put(http, "b", "words")))["state"] == "done"
        assert (await job(http, cancelled))["state"] == "cancelled"
        assert await text_of(http, "a") is None


async def test_a_record_of_a_file_that_waits_cannot_be_deleted_alone(embed_server: EmbedServer, tmp_path: Path) -> None:
    async with waiting_for_embed(embed_server, tmp_path) as http:
        await http.put("/documents/w", files={"file": ("w.jsonl", b'{"id": "a", "text": "words"}')})
        refused = await http.delete("/documents/w%23record=a")
        assert (refused.status_code, "waits to be indexed" in refused.text) == (409, True)


async def test_a_collection_that_is_deleted_and_made_again_has_nothing_of_what_waited(
    embed_server: EmbedServer, tmp_path: Path
) -> None:
    async with waiting_for_embed(embed_server, tmp_path) as http:
        await put(http, "a", "words")
        assert (await http.delete("/collections/default")).status_code == 204
        embed_server.fault = ""
        await job(http, await put(http, "b", "words"))
        assert [row["id"] for row in (await http.get("/documents")).json()["documents"]] == ["b"]


async def test_the_newest_upload_wins_whatever_the_clock_says(embed_server: EmbedServer, tmp_path: Path) -> None:
    async with waiting_for_embed(embed_server, tmp_path) as http:
        jobs = [await put(http, "a", f"words number {n}") for n in range(12)]
    for age, each in enumerate(jobs):
        (folder,) = (tmp_path / "uploads").glob(f"*{each}")
        os.utime(folder, (1e9 - age, 1e9 - age))
    embed_server.fault = ""
    async with serving(settings(embed_server, tmp_path)) as http:
        assert {(await job(http, each))["state"] for each in jobs} == {"done"}
        assert await text_of(http, "a") == "words number 11"


async def test_a_client_that_leaves_leaves_nothing_half_done(embed_server: EmbedServer, tmp_path: Path) -> None:
    """Its upload is whole, with its place among the others, or not there; the newest of an id wins after a restart."""
    async with waiting_for_embed(embed_server, tmp_path) as http:
        for hurry in range(20):
            with anyio.move_on_after(hurry / 1000):
                await http.put("/documents/a", json={"text": f"left {hurry}"})
        newest = await put(http, "a", "the newest")
        spooled = sorted((tmp_path / "uploads").glob("[0-9]*"))
    assert spooled[-1].name.endswith(newest)
    embed_server.fault = ""
    async with serving(settings(embed_server, tmp_path)) as http:
        assert (await job(http, newest))["state"] == "done"
        for folder in spooled:
            assert (await job(http, folder.name.partition("-")[2]))["state"] == "done"
        assert await text_of(http, "a") == "the newest"


@pytest.mark.parametrize("fault", ["500", "401", "HTML", "another dimension"])
async def test_an_upload_waits_while_the_embed_service_fails_on_everything(
    embed_server: EmbedServer, tmp_path: Path, fault: str
) -> None:
    async with serving(settings(embed_server, tmp_path)) as http:
        await job(http, await put(http, "before", "words"))
        embed_server.fault = fault
        waits = await put(http, "a", "kept words")
        found = await job(http, waits, until="waits")
        assert (found["state"], found["failed"]) == ("running", [])
        assert "a service that it needs" in found["message"]
        embed_server.fault = ""
        found = await job(http, waits)
        assert (found["state"], found["message"]) == ("done", "")


async def test_a_text_that_always_breaks_embed_is_set_aside_and_named(
    embed_server: EmbedServer, tmp_path: Path
) -> None:
    async with serving(settings(embed_server, tmp_path)) as http:
        await http.post("/collections", json={"name": "default"})
        broken = await put(http, "broken", "a crash text")
        assert (await job(http, await put(http, "after", "words")))["state"] == "done"
        found = await job(http, broken)
        assert found["state"] == "failed"
        assert [each["source"] for each in found["failed"]] == ["broken"]
        assert "set aside" in found["message"]
        assert "secret words" not in json.dumps(found)
    (folder,) = (tmp_path / "uploads").iterdir()
    assert (folder / "content").read_text() == "a crash text"
    (folder / "content").write_text("a mended text")  # as if the service were mended
    async with serving(settings(embed_server, tmp_path)) as http:
        found = await job(http, broken, until="")
        with anyio.fail_after(60):
            while found["state"] != "done":
                found = await job(http, broken)
        assert (found["failed"], found["message"]) == ([], "")
        assert await text_of(http, "broken") == "a mended text"


async def test_what_replaces_a_text_that_is_set_aside_ends_it(embed_server: EmbedServer, tmp_path: Path) -> None:
    async with serving(settings(embed_server, tmp_path)) as http:
        await http.post("/collections", json={"name": "default"})
        broken = await put(http, "a", "a crash text")
        assert (await job(http, broken))["state"] == "failed"
        assert (await job(http, await put(http, "a", "good words")))["state"] == "done"
        assert (await job(http, broken))["state"] == "cancelled"
    assert not list((tmp_path / "uploads").iterdir())


async def test_an_upload_waits_for_its_collection(embed_server: EmbedServer, tmp_path: Path) -> None:
    """Of which nothing is there at a restart: the disk is not mounted, say."""
    async with waiting_for_embed(embed_server, tmp_path) as http:
        waits = await put(http, "a", "kept words")
    (tmp_path / "index").rename(tmp_path / "elsewhere")
    embed_server.fault = ""
    async with serving(settings(embed_server, tmp_path)):
        await anyio.sleep(1)
    shutil.rmtree(tmp_path / "index", ignore_errors=True)
    (tmp_path / "elsewhere").rename(tmp_path / "index")
    async with serving(settings(embed_server, tmp_path)) as http:
        assert (await job(http, waits))["state"] == "done"


async def test_a_job_that_has_nothing_in_the_spool_does_not_run_for_ever(
    embed_server: EmbedServer, tmp_path: Path
) -> None:
    async with waiting_for_embed(embed_server, tmp_path) as http:
        lost = await put(http, "a", "words")
    shutil.rmtree(tmp_path / "uploads")
    async with serving(settings(embed_server, tmp_path)) as http:
        assert (await job(http, lost))["state"] == "cancelled"


LONG = {
    "id": ("PUT", "/documents/" + "x" * 257, {"json": {"text": "x"}}),
    "file": ("POST", "/documents", {"files": {"file": ("n" * 1001, b"words")}}),
    "title": ("POST", "/documents", {"json": {"text": "x", "title": "t" * 1001}}),
    "url": ("POST", "/documents", {"json": {"text": "x", "url": "u" * 4001}}),
    "metadata": ("POST", "/documents", {"json": {"text": "x", "metadata": {"k": "v" * 16_400}}}),
}


@pytest.mark.parametrize("field", LONG)
async def test_what_is_too_long_is_refused_by_its_name(embed_server: EmbedServer, tmp_path: Path, field: str) -> None:
    method, path, request = LONG[field]
    async with serving(settings(embed_server, tmp_path)) as http:
        refused = await http.request(method, path, **request)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field), refused.text
    assert not list((tmp_path / "uploads").iterdir())


async def test_an_upload_past_its_limit_leaves_nothing(embed_server: EmbedServer, tmp_path: Path) -> None:
    async with serving(settings(embed_server, tmp_path, max_body_bytes=1000)) as http:

        async def endless() -> AsyncIterator[bytes]:
            yield b'{"text": "'
            while True:
                yield b"x" * 100

        for body in ({"content": b"x" * 1001}, {"content": endless()}, {"files": {"file": ("a.txt", b"x" * 1001)}}):
            refused = await http.post("/documents", **body)
            assert refused.status_code == 413
            assert "server.max_body_bytes = 1,000" in refused.json()["error"]["message"]
    assert not list((tmp_path / "uploads").iterdir())
