"""Uploads to a server whose disk is full: a real one, on a file system of a few MB."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from app.up import free_port
from tests.app.documents.test_spool import job
from tests.app.http.test_server import NOBODY
from tests.chaos.test_kills import ready
from tests.indexing.conftest import EmbedServer
from tests.indexing.store.local.test_disk import PRIVATE_MOUNTS, can_mount

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

MIB = 2**20


@contextmanager
def orchestrator(embed: str, disk: Path, size: int) -> Iterator[tuple[str, Path]]:
    """The address of a server over a disk of `size` bytes that nobody else sees, and where it is seen from here."""
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("NOT TESTED, no right to mount a small file system")
    port = free_port("127.0.0.1", 0)
    sections = {"EMBED": {"URL": embed, "MODEL": "hashed"}, "SERVER": {"PORT": str(port)}}
    sections |= {"SCORE": {"URL": NOBODY}, "GENERATE": {"URL": NOBODY}}
    own = {f"RAGLINE_{section}__{key}": value for section, keys in sections.items() for key, value in keys.items()}
    script = f"mount -t tmpfs -o size={size} none {disk}; exec {sys.executable} -P -m app orchestrate"
    env = {**os.environ, **own, "RAGLINE_DATA_DIR": str(disk)}
    with (disk.parent / "log").open("w") as log:
        process = subprocess.Popen([*PRIVATE_MOUNTS, script], env=env, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", Path(f"/proc/{process.pid}/root{disk}")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@dataclass
class Full:
    """A server whose disk is full of what it acknowledged: `jobs` by id. Removing `ballast` makes room."""

    http: httpx2.AsyncClient
    ballast: Path
    jobs: dict[str, str]

    async def check(self) -> None:
        """All that was acknowledged is indexed, and is found."""
        for identity, job_id in self.jobs.items():
            assert (await job(self.http, job_id))["state"] == "done"
            first, *_ = (await self.http.get(f"/documents/{identity}/chunks")).json()
            assert first["text"].startswith(f"Document {identity}.")


@asynccontextmanager
async def full(embed: str, disk: Path, *, one_by_one: bool) -> AsyncIterator[Full]:
    """Documents of 300 kB are uploaded until 20 were refused; `one_by_one`, when the one before is indexed or waits."""
    with orchestrator(embed, disk, 12 * MIB) as (url, seen):
        async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
            await ready(http)
            (seen / "ballast").write_bytes(bytes(8 * MIB))
            jobs: dict[str, str] = {}
            refused = number = 0
            while refused < 20:
                number += 1
                text = f"Document {number}. " + f"Word{number} " * 40_000
                answer = await http.put(f"/documents/{number}", json={"text": text})
                if answer.status_code == 202:
                    jobs[str(number)] = answer.json()["job_id"]
                    if one_by_one:
                        await job(http, jobs[str(number)], until="waits")
                else:
                    assert answer.status_code == 507, answer.text
                    refused += 1
            assert jobs
            assert [each.name for each in (seen / "uploads").iterdir() if each.name.startswith(".")] == []
            yield Full(http, seen / "ballast", jobs)


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_what_was_acknowledged_is_indexed_once_there_is_room(
    embed_server: EmbedServer, tmp_path: Path, *, one_by_one: bool
) -> None:
    async with full(embed_server.url, tmp_path / "disk", one_by_one=one_by_one) as server:
        states = [await job(server.http, each, until="the server's disk is full") for each in server.jobs.values()]
        assert {each["state"] for each in states} <= {"done", "running"}
        assert (await server.http.get("/documents")).status_code == 200
        server.ballast.unlink()
        await server.check()


async def test_deleting_what_waits_makes_room(embed_server: EmbedServer, tmp_path: Path) -> None:
    async with full(embed_server.url, tmp_path / "disk", one_by_one=False) as server:
        for identity in list(server.jobs)[::2]:
            assert (await server.http.delete(f"/documents/{identity}")).status_code == 204
            del server.jobs[identity]
        await server.check()
