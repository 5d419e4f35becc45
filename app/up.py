"""`ragline up`: the four processes on one machine, without containers.

    pull the weights -> start embed, score, generate and the orchestrator -> wait until each is healthy -> supervise

A generator on a GPU is started last, since it takes the memory that is left.
A process that dies is started again, after a pause that doubles up to half a minute. Ctrl-C and SIGTERM stop them all.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

from app.settings import AppSettings
from services.addresses import http_url, publish
from services.child_process import python_command
from services.errors import UnavailableError
from services.settings import ServiceSettings

SERVICES = ("embed", "score", "generate")
QUICK_DEATH_S = 20.0
MAX_QUICK_DEATHS = 3
"""Deaths after which a start is given up; once all four have been healthy, restarts never stop."""
MAX_PAUSE_S = 30.0
STOP_S = 20.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class Child:
    """One process of the four."""

    name: str
    command: list[str]
    url: str
    health: str
    log: Path
    process: asyncio.subprocess.Process | None = None
    started: float = field(default=0.0)
    healthy: asyncio.Event = field(default_factory=asyncio.Event)
    """Set for good once it has been."""


class Supervisor:
    def __init__(self, settings: AppSettings, console: Console) -> None:
        self._console = console
        self._settings = settings
        self._addresses = self._choose_addresses()
        self._started = False
        logs = settings.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._env = {**os.environ, **self._environment()}
        commands = {name: python_command("services", "serve", "--task", name) for name in SERVICES}
        commands["server"] = python_command("app", "orchestrate")
        self._children = [
            Child(
                name=name,
                command=command,
                url=self._addresses[name],
                health=self._addresses[name] + ("/health/live" if name == "server" else "/health"),
                log=logs / f"{name}.log",
            )
            for name, command in commands.items()
        ]

    @property
    def address(self) -> str:
        """Where the orchestrator and its chat page are."""
        return self._addresses["server"]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all four and wait until they are healthy; stop them on exit. Raises UnavailableError."""
        watchers = [asyncio.create_task(self._keep_alive(child)) for child in self._children]
        try:
            await self._until_healthy(watchers)
            publish(self._settings.data_dir, self._addresses)
            yield
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*(self._stop(child) for child in self._children))

    async def command(self, *arguments: str) -> int:
        """Run a `ragline` command against these processes, on this terminal; return its exit status."""
        process = await asyncio.create_subprocess_exec(*python_command("app", *arguments), env=self._env)
        try:
            return await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await process.wait()
            raise

    def _choose_addresses(self) -> dict[str, str]:
        addresses: dict[str, str] = {}
        for name in (*SERVICES, "server"):
            section = getattr(self._settings, name)
            port = free_port(section.host, section.port)
            if section.port not in (port, 0):
                self._console.print(f"port {section.port} is taken: {name} goes to {port}")
            addresses[name] = http_url(section.host, port)
        return addresses

    def _environment(self) -> dict[str, str]:
        ports = {f"RAGLINE_{n.upper()}__PORT": url.rpartition(":")[2] for n, url in self._addresses.items()}
        urls = {f"RAGLINE_{n.upper()}__URL": self._addresses[n] for n in SERVICES}
        data_dir = str(self._settings.data_dir)
        return {**ports, **urls, "RAGLINE_DATA_DIR": data_dir, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}

    async def _start(self, child: Child) -> asyncio.subprocess.Process:
        with child.log.open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on
                preexec_fn=_die_with_parent,
            )
        child.started = time.monotonic()
        return child.process

    async def _keep_alive(self, child: Child) -> None:
        deaths, pause = 0, 1.0
        if child.name == "generate" and takes_what_is_left(self._settings.generate):
            for other in self._children:
                if other.name in ("embed", "score"):
                    await other.healthy.wait()
        while True:
            status = await (await self._start(child)).wait()
            if time.monotonic() - child.started > QUICK_DEATH_S:
                deaths, pause = 0, 1.0
            deaths += 1
            if deaths >= MAX_QUICK_DEATHS and not self._started:
                raise UnavailableError(f"{child.name} cannot be kept running (status {status}):\n{tail(child.log)}")
            self._console.print(
                f"{child.name} ended with status {status}; starting it again in {pause:.0f} s. Log: {child.log}"
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)

    async def _until_healthy(self, watchers: list[asyncio.Task[None]]) -> None:
        transport = httpx2.AsyncHTTPTransport()  # without the proxies of the environment
        async with httpx2.AsyncClient(timeout=5.0, transport=transport) as http:
            waits = [asyncio.create_task(self._wait(http, child)) for child in self._children]
            ready: asyncio.Future[Any] = asyncio.gather(*waits)
            try:
                await asyncio.wait([ready, *watchers], return_when=asyncio.FIRST_COMPLETED)
                for watcher in watchers:
                    if watcher.done():
                        watcher.result()
                await ready
            finally:
                ready.cancel()
                await asyncio.gather(ready, *waits, return_exceptions=True)
        self._started = True

    async def _wait(self, http: httpx2.AsyncClient, child: Child) -> None:
        began = time.monotonic()
        while True:
            with suppress(httpx2.HTTPError):
                if (await http.get(child.health)).status_code == httpx2.codes.OK:
                    break
            await asyncio.sleep(0.1)
        child.healthy.set()
        self._console.print(f"  [green]✓[/] {child.name:9} {child.url}  ready in {time.monotonic() - began:.1f} s")

    async def _stop(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def takes_what_is_left(section: ServiceSettings) -> bool:
    """Whether the generator's engine may be torch on a GPU, whose cache is sized by the memory that is free."""
    engine = section.preset.engine if section.engine == "auto" and section.preset else section.engine
    return engine != "openvino" and section.device != "cpu" and not section.model.endswith(".gguf")


def free_port(host: str, wanted: int) -> int:
    """Return `wanted` where it is free, else a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0):
        with socket.socket(family) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise UnavailableError(f"no port can be opened on {host}")


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    """Have the kernel end this child when the supervisor dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
