"""The four processes are killed again and again while documents are uploaded and deleted, and questions are asked.

CHAOS_KILLS says how often (20 where it is not given).
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

KILLS = int(os.environ.get("CHAOS_KILLS", "20"))
COMMANDS = {name: ("services", "serve", "--task", name) for name in ("embed", "score", "generate")} | {
    "server": ("app", "orchestrate")
}


class Processes:
    """The four processes on ports that stay the same, each started again once it was killed."""

    def __init__(self, data_dir: Path) -> None:
        self.ports = {name: _free_port() for name in COMMANDS}
        ports = {f"RAGLINE_{name.upper()}__PORT": str(port) for name, port in self.ports.items()}
        self._env = {**os.environ, **ports, "RAGLINE_DATA_DIR": str(data_dir), "NO_COLOR": "1"}
        self._log = data_dir / "log"
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        with self._log.open("a") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", *COMMANDS[name], env=self._env, stdout=log, stderr=log
            )

    async def kill(self, name: str) -> None:
        self._running[name].send_signal(signal.SIGKILL)
        await self._running[name].wait()

    async def end(self) -> None:
        for name in self._running:
            with suppress(ProcessLookupError):
                await self.kill(name)


@asynccontextmanager
async def processes(data_dir: Path) -> AsyncIterator[Processes]:
    started = Processes(data_dir)
    try:
        for name in COMMANDS:
            await started.start(name)
        yield started
    finally:
        await started.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Owner:
    """Uploads, replaces and deletes documents of its own one after the other, and notes what was acknowledged."""

    def __init__(self, http: httpx2.AsyncClient, name: str) -> None:
        self._http = http
        self._name = name
        self._random = random.Random(name)
        self.may_hold: dict[str, set[str | None]] = {}
        """By id: the texts that it may have; None: it may be gone. Several where an answer did not come."""
        self.counts = Counter[str]()

    async def work(self, stopped: asyncio.Event) -> None:
        for number in range(100_000):
            if stopped.is_set():
                return
            identity = f"{self._name}-{self._random.randrange(30)}"
            held = self.may_hold.setdefault(identity, {None})
            if held != {None} and self._random.random() < 0.3:
                text, request = None, self._http.delete(f"/documents/{identity}")
            else:
                text = f"Number {number} of {self._name}."
                request = self._http.put(f"/documents/{identity}", json={"text": text})
            held.add(text)
            try:
                answer = await request
            except httpx2.TransportError:
                self.counts["cut off"] += 1
                await asyncio.sleep(0.1)
                continue
            if answer.status_code in (202, 204, 404):
                self.counts[{202: "uploads", 204: "deletions"}.get(answer.status_code, "deletions of nothing")] += 1
                self.may_hold[identity] = {text}
            else:
                assert answer.status_code in (429, 503), answer.text
                held.discard(text)
                self.counts["refused"] += 1
            await asyncio.sleep(0.02)


async def ask(http: httpx2.AsyncClient, stopped: asyncio.Event, counts: Counter[str]) -> None:
    """Ask one question after the other; count the answers, and the degraded ones. A service that dies is no error."""
    while not stopped.is_set():
        try:
            answer = await http.post("/ask", json={"question": "What is number 5 of owner1?"}, timeout=180)
        except httpx2.TransportError:
            counts["questions cut off"] += 1
            await asyncio.sleep(0.1)
            continue
        assert answer.status_code in (200, 429), answer.text
        refused, degraded = answer.status_code == 429, answer.status_code == 200 and answer.json()["degraded"]
        counts["questions refused" if refused else "questions degraded" if degraded else "questions"] += 1
        await asyncio.sleep(0.2)


async def ready(http: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(120):
        while True:
            with suppress(httpx2.TransportError):
                if (await http.post("/collections", json={"name": "default"})).status_code in (201, 409):
                    return
            await asyncio.sleep(0.2)


async def settled(http: httpx2.AsyncClient, spool: Path) -> None:
    async with asyncio.timeout(600):
        while any(not name.startswith(".") for name in os.listdir(spool)):  # noqa: PTH208
            await asyncio.sleep(0.5)
    assert (await http.get("/documents")).status_code == 200


async def texts(http: httpx2.AsyncClient) -> dict[str, list[str]]:
    """The chunks of every document by its id."""
    found: dict[str, list[str]] = {}
    cursor: str | None = ""
    while cursor is not None:
        page: dict[str, Any] = (await http.get("/documents", params={"cursor": cursor} if cursor else {})).json()
        for row in page["documents"]:
            chunks = (await http.get(f"/documents/{row['id']}/chunks")).json()
            assert row["id"] not in found
            found[row["id"]] = [chunk["text"] for chunk in chunks]
        cursor = page["next_cursor"]
    return found


async def test_what_was_acknowledged_is_there_once_and_what_was_deleted_is_gone(tmp_path: Path) -> None:
    chance = random.Random(17)
    async with processes(tmp_path) as running:
        base = f"http://127.0.0.1:{running.ports['server']}"
        async with httpx2.AsyncClient(base_url=base, timeout=60) as http:
            await ready(http)
            await http.put("/documents/anchor", json={"text": "There is always a document."})
            await settled(http, tmp_path / "uploads")
            owners = [Owner(http, f"owner{n}") for n in range(4)]
            stopped, asked = asyncio.Event(), Counter[str]()
            async with asyncio.TaskGroup() as group:
                group.create_task(ask(http, stopped, asked))
                for owner in owners:
                    group.create_task(owner.work(stopped))
                for _ in range(KILLS):
                    await asyncio.sleep(chance.uniform(0.2, 3.0))
                    victim = chance.choice(list(COMMANDS))
                    await running.kill(victim)
                    await running.start(victim)
                    if victim == "server":
                        await ready(http)
                stopped.set()
            await running.kill("server")
            await running.start("server")
            await ready(http)
            await settled(http, tmp_path / "uploads")
            found = await texts(http)
            while (answer := (await http.post("/ask", json={"question": "Who is owner1?"})).json())["degraded"]:
                await asyncio.sleep(0.5)  # until the last one that was killed is there again
            assert answer["sources"]
    wrong = {
        identity: (found.get(identity), list(held))
        for owner in owners
        for identity, held in owner.may_hold.items()
        if found.get(identity, [None]) not in [[text] for text in held]
    }
    counts = sum((owner.counts for owner in owners), asked)
    present = sum(identity in found for owner in owners for identity in owner.may_hold)
    print(json.dumps({"kills": KILLS + 1, **counts, "documents at the end": present, "wrong": len(wrong)}))
    assert not wrong
    assert sum(owner.counts["uploads"] for owner in owners) > 0
