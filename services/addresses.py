"""Where a running `ragline up` serves: run.json, which is valid while its writer holds the lock beside it.

The kernel releases flock(2) however the process ends; a process id could have been given to another process.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2

from services.errors import ConflictError

_READER_WAIT_S = 1.0
"""How long `exclusive` waits for readers, which hold the lock for an instant."""


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Holds data_dir's lock. Raises ConflictError where another `ragline up` holds it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(_lock_file(data_dir), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + _READER_WAIT_S
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > until:
                at = f", at {read_addresses(data_dir).get('server', 'an address that is not known yet')}"
                raise ConflictError(f"ragline already runs over {data_dir}{at}; stop that one first")
            time.sleep(0.02)
        _run_file(data_dir).unlink(missing_ok=True)
        try:
            yield
        finally:
            _run_file(data_dir).unlink(missing_ok=True)
    finally:
        os.close(lock)


def publish(data_dir: Path, addresses: Mapping[str, str]) -> None:
    """Writes run.json. addresses: URLs by section: embed, score, generate, server."""
    file = _run_file(data_dir)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(addresses)))
    temporary.replace(file)


def read_addresses(data_dir: Path) -> dict[str, str]:
    """URLs by section of the `ragline up` that runs over data_dir; {} where none runs."""
    try:
        lock = os.open(_lock_file(data_dir), os.O_RDONLY)
    except OSError:
        return {}
    try:
        if _take(lock, fcntl.LOCK_SH):
            return {}
        written = json.loads(_run_file(data_dir).read_text())
    except (OSError, ValueError):
        return {}
    finally:
        os.close(lock)
    return {name: str(httpx2.URL(url)) for name, url in written.items()}


def http_url(host: str, port: int) -> str:
    """http://HOST:PORT; an IPv6 address gets its brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _take(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run_file(data_dir: Path) -> Path:
    return data_dir / "run.json"


def _lock_file(data_dir: Path) -> Path:
    return data_dir / "up.lock"
