"""`ragline up`: the four processes on one machine, without containers.

    pull the weights -> start embed, score, generate and the orchestrator -> wait until each is healthy -> supervise

Where the settings name an entailment model ([verify]), it is a fifth.

A generator on a GPU is started last, since it takes the memory that is left. A process that dies is started again,
after a pause that doubles up to half a minute; so is one that has been healthy and no longer answers. Ctrl-C and
SIGTERM stop them all.
"""

import asyncio
import ctypes
import os
import shutil
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

QUICK_DEATH_S = 20.0
MAX_QUICK_DEATHS = 3
"""Deaths after which a start is given up; once all four have been healthy, restarts never stop."""
MAX_PAUSE_S = 30.0
STOP_S = 20.0
CHECKS = 4
"""Health checks in a row that a process misses before it is taken for hung; up.hang_s is the time for all of them."""
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
    answered: bool = False
    """Whether it has been healthy since it was started."""
    healthy: asyncio.Event = field(default_factory=asyncio.Event)
    """Set for good once it has been."""


class Supervisor:
    def __init__(self, settings: AppSettings, console: Console) -> None:
        self._console = console
        self._settings = settings
        self._services = ["embed", "score", "generate", *(["verify"] if settings.verify.is_named else [])]
        self.own = [name for name in self._services if not getattr(settings, name).url]
        """The services that are started here; the others serve elsewhere, at their `url`."""
        self._addresses = self._choose_addresses()
        self._started = False
        logs = settings.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._env = {**os.environ, **self._environment()}
        commands = {name: python_command("services", "serve", "--task", name) for name in self.own}
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
        """Start the processes and wait until they are healthy; stop them on exit. Raises UnavailableError."""
        watches = (self._keep_alive, self._end_if_hung)
        watchers = [asyncio.create_task(watch(child)) for child in self._children for watch in watches]
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
        process = await asyncio.create_subprocess_exec(
            *python_command("app", *arguments),
            env=self._env,
            start_new_session=True,  # or the terminal's Ctrl-C would reach it as well as ours, and end it at once
            preexec_fn=_die_with_parent,
        )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await process.wait()
            raise

    def _choose_addresses(self) -> dict[str, str]:
        addresses: dict[str, str] = {}
        for name in (*self._services, "server"):
            section = getattr(self._settings, name)
            if name in self._services and name not in self.own:
                addresses[name] = section.base_url
                self._console.print(f"{name} serves at {section.base_url}, and is not started here")
                continue
            port = free_port(section.host, section.port)
            if section.port not in (port, 0):
                self._console.print(f"port {section.port} is taken: {name} goes to {port}")
            addresses[name] = http_url(section.host, port)
        return addresses

    def _environment(self) -> dict[str, str]:
        ports = {
            f"RAGLINE_{name.upper()}__PORT": self._addresses[name].rpartition(":")[2] for name in (*self.own, "server")
        }
        urls = {f"RAGLINE_{n.upper()}__URL": self._addresses[n] for n in self._services}
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
        child.started, child.answered = time.monotonic(), False
        return child.process

    async def _keep_alive(self, child: Child) -> None:
        deaths, pause = 0, 1.0
        if child.name == "generate" and takes_what_is_left(self._settings.generate):
            for other in self._children:
                if other.name in ("embed", "score", "verify"):
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

    async def _end_if_hung(self, child: Child) -> None:
        """Kill a process that misses CHECKS health checks in a row; keep its log within up.log_bytes."""
        missed, interval = 0, self._settings.up.hang_s / CHECKS
        async with httpx2.AsyncClient(timeout=interval, trust_env=False) as http:
            while True:
                due = time.monotonic() + interval
                healthy = await _is_healthy(http, child)
                missed = 0 if healthy or not child.answered else missed + 1
                child.answered = child.answered or healthy
                if missed == CHECKS and child.process is not None:
                    self._console.print(
                        f"{child.name} has not answered for {self._settings.up.hang_s:.0f} s; ending it"
                    )
                    with suppress(ProcessLookupError):
                        os.killpg(child.process.pid, signal.SIGKILL)  # with the processes that it started
                    missed = 0
                await asyncio.to_thread(rotate, child.log, self._settings.up.log_bytes)
                await asyncio.sleep(max(due - time.monotonic(), 0))

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
        while not await _is_healthy(http, child):  # noqa: ASYNC110  what is waited for is another process
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


async def _is_healthy(http: httpx2.AsyncClient, child: Child) -> bool:
    try:
        return (await http.get(child.health)).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


def takes_what_is_left(section: ServiceSettings) -> bool:
    """Whether the generator's engine may be torch on a GPU, whose cache is sized by the memory that is free."""
    engine = section.preset.engine if section.engine == "auto" and section.preset else section.engine
    return engine != "openvino" and section.device != "cpu" and not section.model.endswith(".gguf")


def free_port(host: str, wanted: int) -> int:
    """Return `wanted` where it is free, else the next free one in steps of ten, which collide with no other's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (*range(wanted, min(wanted + 100, 65536), 10), 0):
        with socket.socket(family) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise UnavailableError(f"no port can be opened on {host}")


def rotate(log: Path, max_bytes: int) -> None:
    """Move a log's text to LOG.1 once it is longer than `max_bytes`; its writer, which appends, goes on at the start.

    A line that is written in between is lost.
    """
    if log.exists() and log.stat().st_size > max_bytes:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    """Have the kernel end this child when the supervisor dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
