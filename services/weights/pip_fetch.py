"""Fetch one wheel as pip would, but resumable and with progress: run as a program of its own, which may use only the
standard library and pip.

    python -P pip_fetch.py NAME==VERSION FOLDER [--sha256 HEX]

`pip download` alone would not do: it tells nobody the wheel's size, so that no bar can move, and after a kill it
starts again from nothing (the --resume-retries of pip 25 resumes within one run). So pip is asked where the wheel is,
and its own session, with its mirrors, certificates, proxy and credentials, fetches it in ranges into
FOLDER/NAME.whl.part. Those two are internals of pip; where a pip has them no more, `pip download` fetches the wheel.

Each line of standard output is a JSON object: {"event": "found" | "progress" | "done" | "error", ...}.
"""

import argparse
import contextlib
import errno
import fcntl
import importlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

CHUNK = 1 << 18
OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input")
FRUITLESS_TRIES = 4
"""Connections in a row without a byte, after which the download fails."""


def emit(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201  the protocol


def fail(kind: str, message: str) -> NoReturn:
    emit("error", kind=kind, message=without_credentials(message))
    sys.exit(1)


def without_credentials(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


class IndexErrors(logging.Handler):
    """Collects what pip logs of indexes that it could not read."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if match := re.search(r"Could not fetch URL (\S+): (.*)", message):
            reason = re.search(r"\[Errno [^\]]*\] [\w ]+", match[2])
            self.seen.append(f"{match[1]} {reason[0] if reason else match[2].removesuffix(' - skipping')}")
        elif record.levelno >= logging.WARNING and "Retrying" not in message:
            self.seen.append(message.rstrip("."))


class PipChangedError(Exception):
    """This pip does not have the internals that `find` uses."""


def find(requirement: str, sha256: str | None) -> tuple[Any, Any]:
    """pip's session, and its link to the wheel: the one with the wanted hash, where several indexes offer one."""
    index_errors = IndexErrors()
    logger = logging.getLogger("pip")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(index_errors)
    name, _, version = requirement.partition("==")
    try:
        command = importlib.import_module("pip._internal.commands").create_command("download")
        options, _ = command.parse_args([*OPTIONS, requirement])
        session = command._build_session(options)  # noqa: SLF001  see above
        finder = command._build_package_finder(options, session, ignore_requires_python=True)  # noqa: SLF001
        candidates = [c for c in finder.find_all_candidates(name) if c.link.is_wheel]
        links = [c.link for c in candidates if str(c.version) == version]
        offered = [(link, link.hash if link.hash_name == "sha256" else None) for link in links]
    except (ImportError, AttributeError, TypeError) as exc:
        raise PipChangedError(str(exc)) from exc
    if not offered:
        versions = ", ".join(sorted({str(c.version) for c in candidates})) or "none"
        fail("missing", "; ".join(index_errors.seen[-2:]) or f"wheels offered: {versions}")
    fitting = [link for link, offer in offered if sha256 is None or offer in (sha256, None)]
    if not fitting:
        fail("hash", f"{offered[0][0].url_without_fragment} is offered with sha256 {offered[0][1]}")
    return session, fitting[0]


def transfer(session: Any, link: Any, folder: Path, sha256: str | None) -> None:
    """Fetch to FOLDER/NAME.whl.part, going on where an earlier try ended, and name it NAME.whl when it is whole."""
    url, part = link.url_without_fragment, folder / f"{link.filename}.part"
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # an orphan of a killed pull may still write to it
        if not sha256:  # nothing would tell that the beginning is of another file
            file.truncate(0)
        have = file.seek(0, os.SEEK_END)
        emit("found", url=without_credentials(url), have=have, sha256=sha256)
        fruitless = 0
        while trouble := attempt(session, url, file):
            fruitless = 0 if file.tell() > have else fruitless + 1
            have = file.tell()
            if fruitless == FRUITLESS_TRIES:
                fail("broken", f"{url}: {trouble} ({have / 1e6:.1f} MB are kept)")
            time.sleep(0.25 * 2**fruitless)
        os.fsync(file.fileno())
    part.rename(folder / link.filename)
    emit("done", path=str(folder / link.filename))


def attempt(session: Any, url: str, file: Any) -> str:
    """Fetches over one connection; returns its error, or "" once the file is complete."""
    try:
        return "" if receive(session, url, file) else "the connection was closed early"
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return str(exc)
    except Exception as exc:  # noqa: BLE001  pip's vendored requests and urllib3 have trees of their own
        return str(exc)


def receive(session: Any, url: str, file: Any) -> bool:
    """Appends what one connection sends; True once the file is complete."""
    have = file.seek(0, os.SEEK_END)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with contextlib.closing(session.get(url, headers=headers, stream=True)) as answer:
        if answer.status_code == 416:  # noqa: PLR2004  nothing is left to send, or what is here is not its beginning
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(have):
                return True
            file.truncate(0)
            return False
        if answer.status_code >= 400:  # noqa: PLR2004
            fail("status", f"{url} answered {answer.status_code} {answer.reason}")
        if have and answer.status_code != 206:  # noqa: PLR2004  the server has no ranges: again from the beginning
            file.truncate(0)
            have = 0
        total_bytes = have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
        if total_bytes:
            check_free_space(Path(file.name).parent, 2 * total_bytes - have)
        for done in copied(answer.raw, file, have):
            emit("progress", done=done, total=total_bytes)
        return total_bytes is None or file.tell() == total_bytes


def copied(raw: Any, file: Any, have: int) -> Iterator[int]:
    """Yields the file's size in bytes, a few times a second and at the end."""
    told = 0.0
    of_a_file = iter(lambda: raw.read(CHUNK), b"")  # what pip's session has for file: addresses
    for chunk in raw.stream(CHUNK, decode_content=False) if hasattr(raw, "stream") else of_a_file:
        file.write(chunk)
        have += len(chunk)
        if time.monotonic() - told > 0.2:  # noqa: PLR2004
            file.flush()
            told = time.monotonic()
            yield have
    file.flush()
    yield have


def check_free_space(folder: Path, needed: int) -> None:
    stat = os.statvfs(folder)
    if stat.f_bavail * stat.f_frsize < needed:
        fail("disk", f"{needed >> 20} MiB are needed, {stat.f_bavail * stat.f_frsize >> 20} MiB are free")


def download_whole(requirement: str, folder: Path) -> None:
    """Runs `pip download`; its progress is the size of its temporary files."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(  # noqa: S603  our own arguments
            [sys.executable, "-P", "-m", "pip", "download", *OPTIONS, "-d", scratch, requirement],
            env=os.environ | {"TMPDIR": scratch},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            while child.poll() is None:
                time.sleep(0.25)
                emit("progress", done=size_of(Path(scratch)), total=None)
        finally:
            child.terminate()
        if child.wait():
            fail("missing", last_lines(errors))
        wheel = next(Path(scratch).glob("*.whl"))
        emit("done", path=str(wheel.rename(folder / wheel.name)))


def last_lines(stream: IO[str]) -> str:
    """The last three lines of what a process wrote, as one."""
    stream.seek(0)
    return " ".join(stream.read().strip().splitlines()[-3:])


def size_of(folder: Path) -> int:
    """Bytes of the files under a folder; files may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("requirement")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sha256")
    parser.add_argument("--whole", action="store_true", help="as if pip had other internals")
    arguments = parser.parse_args()
    try:
        importlib.import_module("pip")
    except ImportError:
        fail("pip", f"{sys.executable} has no pip")
    try:
        if arguments.whole:
            download_whole(arguments.requirement, arguments.folder)
        else:
            fetch(arguments.requirement, arguments.folder, arguments.sha256)
    except OSError as exc:
        fail("disk" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "file", str(exc))


def fetch(requirement: str, folder: Path, sha256: str | None) -> None:
    try:
        session, link = find(requirement, sha256)
    except PipChangedError:
        download_whole(requirement, folder)
    else:
        transfer(session, link, folder, sha256 or (link.hash if link.hash_name == "sha256" else None))


if __name__ == "__main__":
    main()
