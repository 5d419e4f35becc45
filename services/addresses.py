"""Where a running `ragline up` serves: run.json, which is believed while its writer holds the lock beside it.

flock(2) ends with its process, however that ends; the number of a process may be another's by then.
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

_LOOK_S = 1.0
"""Longer than others hold the lock who only look."""


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """As the only one over data_dir. Raises ConflictError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(_lock_file(data_dir), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + _LOOK_S
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > until:
                at = f", at {read_addresses(data_dir).get('server', 'an address that it has not said yet')}"
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
    """Addresses by section: embed, score, generate, server."""
    file = _run_file(data_dir)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(addresses)))
    temporary.replace(file)


def read_addresses(data_dir: Path) -> dict[str, str]:
    """Those of the `ragline up` that runs over data_dir and is healthy; {} where there is none."""
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
