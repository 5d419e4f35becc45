"""`ragline doctor`: what keeps ragline from starting or answering here, each with its cure."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2

from app.settings import AppSettings
from services.addresses import read_addresses
from services.child_process import python_command
from services.cores import cores
from services.errors import RaglineError
from services.http.api_key import is_loopback
from services.presets import find_preset

Level = Literal["ok", "note", "problem"]
SERVICES = ("embed", "score", "generate", "verify")
BYTES = {"float32": 4, "auto": 2, "float16": 2, "bfloat16": 2}
"""Of a parameter; weights of fewer bits take less than what is reckoned here."""
ROOM = 1.3
"""Of the weights, for activations and the cache of the generator."""
FREE_GB = 2.0
TIMEOUT_S = 5.0
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    says: str
    cure: str = ""


def examine(settings: AppSettings) -> Iterator[Finding]:
    """Yield what there is to say of this machine and these settings, in the order in which a start would meet it."""
    for check in CHECKS:
        yield from check(settings)


def _python(settings: AppSettings) -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()}, profile {settings.profile}")


def _processor(settings: AppSettings) -> Iterator[Finding]:
    del settings
    flags = _flags()
    said = f"{cores()} cores"
    if not flags or flags & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}:
        yield Finding("ok", "cpu", said)
    else:
        yield Finding("note", "cpu", f"{said}, without VNNI: int8 models gain less over float32")


def _memory(settings: AppSettings) -> Iterator[Finding]:
    """The weights of the profile's own services against what is free on the card or, without one, here."""
    card = _card_gb()
    needed = 0.0
    for name in SERVICES:
        section = getattr(settings, name)
        preset = None if section.url else find_preset(section.model)
        needed += preset.parameters * BYTES[preset.dtype] * ROOM / 1e9 if preset else 0
    free, where = (card, "on the GPU") if card else (_free_gb(), "of memory")
    said = f"{free:.1f} GB {where}, and the models take about {needed:.1f} GB"
    cure = "take a smaller profile (RAGLINE_PROFILE; docs/models.md), or a machine with more"
    yield Finding("ok", "memory", said) if needed < free else Finding("problem", "memory", said, cure)


def _disk(settings: AppSettings) -> Iterator[Finding]:
    for name, path in (("documents", settings.data_dir), ("weights", settings.cache_dir)):
        there = next(each for each in (path, *path.parents) if each.is_dir())
        free = shutil.disk_usage(there).free / 1e9
        said = f"{free:.1f} GB free for {name} at {path}"
        setting = "RAGLINE_DATA_DIR" if path == settings.data_dir else "RAGLINE_CACHE_DIR"
        if not os.access(there, os.W_OK):
            yield Finding("problem", "disk", f"{there} cannot be written", f"change its owner, or set {setting}")
        elif free < FREE_GB:
            yield Finding("problem", "disk", said, f"make room, or set {setting} to another disk")
        else:
            yield Finding("ok", "disk", said)


def _models(settings: AppSettings) -> Iterator[Finding]:
    for name in SERVICES:
        section = getattr(settings, name)
        if section.url or not section.model:
            continue
        command = python_command("app", "models", "path", section.model)
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
        said = " ".join(done.stderr.split()).removeprefix("ragline: ")
        if not done.returncode:
            yield Finding("ok", "models", f"{name}: {section.model}")
        elif "is not here" in said and not settings.offline:
            yield Finding("note", "models", f"{name}: {said}")
        else:
            yield Finding("problem", "models", f"{name}: {said}", "`ragline models list` shows what is known and here")


def _server(settings: AppSettings) -> Iterator[Finding]:
    server = settings.server
    if not (server.api_key or server.allow_insecure or is_loopback(server.host)):
        cure = "set RAGLINE_SERVER__API_KEY"
        yield Finding("problem", "key", f"{server.host} is reachable from other machines, and there is no key", cure)
    if not is_loopback(server.host) and not server.hosts:
        said = "any Host name is answered; name those that clients use in RAGLINE_SERVER__HOSTS"
        yield Finding("note", "hosts", said)


def _ports(settings: AppSettings) -> Iterator[Finding]:
    if read_addresses(settings.data_dir):
        return
    for name in (*SERVICES, "server"):
        section = getattr(settings, name)
        is_ours = name == "server" or section.model
        if is_ours and not section.url and section.port and _is_taken(section.host, section.port):
            said = f"port {section.port} of {name} is taken; `ragline up` takes the next free one"
            cure = f"end what listens there, or set RAGLINE_{name.upper()}__PORT"
            yield Finding("note", "ports", said, cure)


def _proxies(settings: AppSettings) -> Iterator[Finding]:
    del settings
    if named := [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.upper())]:
        said = f"{', '.join(named)} is set: weights are fetched by it, services asked without it"
        yield Finding("note", "proxy", said)


def _services(settings: AppSettings) -> Iterator[Finding]:
    """Whether what runs answers; what should run elsewhere must."""
    addresses = read_addresses(settings.data_dir)
    for name in SERVICES:
        section = getattr(settings, name)
        url = section.url or addresses.get(name)
        if not url:
            continue
        problem = _health(url, "/health", section.api_key.get_secret_value() if section.api_key else None)
        cure = f"see the log of {name}" if name in addresses else f"start it, or mend RAGLINE_{name.upper()}__URL"
        yield Finding("problem", "services", f"{name}: {problem}", cure) if problem else Finding("ok", "services", name)
    if not addresses and not settings.server.url:
        yield Finding("note", "services", "ragline does not run here; `ragline up` starts it")


def _index(settings: AppSettings) -> Iterator[Finding]:
    """Whether the collections can be opened, and were made by the embed service's model."""
    from indexing.store.open import stores_of  # noqa: PLC0415 - FAISS is not needed for the other checks

    try:
        stores = stores_of(settings)
        names = stores.names()
    except RaglineError as exc:
        yield Finding("problem", "index", str(exc), "`ragline index verify` says more")
        return
    for name in names:
        try:
            with stores.open(name) as store:
                stats, model = store.stats(), store.manifest.embedding_model
        except RaglineError as exc:
            yield Finding("problem", "index", f"{name}: {exc}", f"`ragline index repair -c {name}`, or restore it")
            continue
        said = f"{name}: {stats.documents:,} documents, {stats.chunks:,} chunks"
        if settings.embed.model and not settings.embed.url and model != settings.embed.model_name:
            cure = f"`ragline index reindex -c {name}`, or the model that it was made with"
            served = settings.embed.model_name
            yield Finding("problem", "index", f"{said}; its vectors are of {model}, and {served} is served", cure)
        else:
            yield Finding("ok", "index", said)
    stores.close()


CHECKS: tuple[Callable[[AppSettings], Iterator[Finding]], ...] = (
    _python,
    _processor,
    _memory,
    _disk,
    _models,
    _server,
    _ports,
    _proxies,
    _services,
    _index,
)


def _health(url: str, path: str, key: str | None) -> str:
    """Return why a service does not answer; "" where it does."""
    headers = {"Authorization": f"Bearer {key}"} if key else None
    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(), timeout=TIMEOUT_S) as http:
            response = http.get(f"{url.rstrip('/').removesuffix('/v1')}{path}", headers=headers)
    except httpx2.TransportError as exc:
        return f"{url} does not answer ({exc or type(exc).__name__})"
    return "" if response.is_success else f"{url} answers {response.status_code} to GET {path}"


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's features; empty where they are not told."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return frozenset(next((line.split(":")[1] for line in lines if line.startswith(("flags", "Features"))), "").split())


def _free_gb(meminfo: Path = Path("/proc/meminfo")) -> float:
    lines = meminfo.read_text().splitlines() if meminfo.is_file() else []
    sizes: Mapping[str, str] = dict(line.split(":", 1) for line in lines)
    return int(sizes.get("MemAvailable", "0 kB").split()[0]) / 1e6 or float("inf")


def _card_gb() -> float | None:
    """Free memory of the first GPU; None without one."""
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)  # noqa: S603 (ours)
        return float(done.stdout.splitlines()[0]) * 2**20 / 1e9
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None
