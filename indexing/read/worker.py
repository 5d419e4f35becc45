"""A parser process: `python -P -m indexing.read.worker`, started by indexing.read.pool.

Messages on stdin and stdout are JSON after a length (4 bytes, big-endian). The first one configures; then each request
gets any number of messages and a last one, {"end": reason or "", "error": name of an UnreadableError or ""}.

Files are parsed in a process of their own to limit time and memory. The kernel limits memory and forbids writing to
files; an audit hook forbids Python code the network, programs and every change of files. Native code that a hostile
file takes over is bound by the kernel's limits alone.
"""

import gc
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Document
from indexing.errors import IndexingError, UnreadableError
from indexing.read.formats import scan
from indexing.read.formats.extract import Limits
from indexing.read.formats.load import load, load_bytes
from indexing.read.pool import KNOWN_DIGITS

_FORBIDDEN = (
    "socket.", "subprocess.", "sqlite3.", "resource.prlimit", "signal.pthread_kill",
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.kill",
    "os.remove", "os.rename", "os.truncate", "os.chmod", "os.chown", "os.mkdir", "os.rmdir", "os.symlink", "os.link",
    "os.utime", "os.setxattr", "os.removexattr",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_BATCH_CHARS = 1_000_000


def main() -> None:
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of libraries go to stderr, not between the messages
    config = receive(stdin)
    if config is None:
        return
    limits = Limits(**config["limits"])
    chunker = Chunker(ChunkerSettings(**config["chunker"]))
    if limits.scan_models:
        try:
            scan.prepare(limits.scan_models)
        except IndexingError as exc:
            send(stdout, {"refused": str(exc)})
            return
    _confine(config["memory_bytes"])
    send(stdout, {"ready": os.getpid()})
    while (request := receive(stdin)) is not None:
        # Without the parent, nothing else would end a parse that hangs.
        _answer(request, limits, chunker, stdout, config["timeout_s"] * 2)
        gc.collect()
        gc.freeze()  # what is left is the parsers' own: looking at all of it again costs 50 ms a file


def _confine(memory_bytes: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(_FORBIDDEN) or (event == "open" and isinstance(args[2], int) and args[2] & _WRITING):
        raise PermissionError(f"a document may not do this: {event}")


def _answer(
    request: Mapping[str, Any], limits: Limits, chunker: Chunker, stdout: BinaryIO, max_silence_s: float
) -> None:
    reason = kind = ""
    try:
        _exit_after(max_silence_s)
        for message in _messages(request, limits, chunker):
            _exit_after(0)  # the parent may be slow to read
            send(stdout, message)
            _exit_after(max_silence_s)
    except UnreadableError as exc:
        reason, kind = str(exc), type(exc).__name__
    except MemoryError:
        reason = "too large: it needs more memory than a parser may have"
    except RecursionError:
        reason = "broken file: it is nested too deep"
    except Exception as exc:  # noqa: BLE001 (any exception is a failure of this file only)
        reason = f"cannot be read: {type(exc).__name__}: {exc}"
    _exit_after(0)
    send(stdout, {"end": reason, "error": kind})


def _exit_after(seconds: float) -> None:
    """Let SIGALRM end the process; 0 cancels it."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _messages(request: Mapping[str, Any], limits: Limits, chunker: Chunker) -> Iterator[dict[str, Any]]:
    """The documents in batches; those in `known` only by their source. An error comes after what was read before it."""
    batch = _Batch()
    prefix = len(request.get("source") or request.get("name") or request.get("path", ""))
    try:
        for document in _documents(request, limits):
            if request["known"].get(document.source[prefix:]) == document.content_hash[:KNOWN_DIGITS]:
                batch.unchanged.append(document.source)
            else:
                batch.documents.append(_pack(document, chunker))
            batch.chars += len(document.text)
            if batch.chars > _BATCH_CHARS:
                yield batch.message()
                batch = _Batch()
    except Exception:  # of whatever kind: _answer() tells it
        yield batch.message()
        raise
    yield batch.message()


@dataclass(slots=True)
class _Batch:
    documents: list[dict[str, Any]] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    chars: int = 0

    def message(self) -> dict[str, Any]:
        return {"documents": self.documents, "unchanged": self.unchanged, "chars": self.chars}


def _documents(request: Mapping[str, Any], limits: Limits) -> Iterator[Document]:
    if "document" in request:
        fields = request["document"]
        yield Document(**{**fields, "pages": tuple(fields["pages"]), "omitted": tuple(fields["omitted"])})
    elif "name" in request:
        yield from load_bytes(Path(request["path"]).read_bytes(), request["name"], limits, source=request["source"])
    else:
        yield from load(Path(request["path"]), limits)


def _pack(document: Document, chunker: Chunker) -> dict[str, Any]:
    chunks, tokens = chunker.chunks(document)
    fields = {name: getattr(document, name) for name in Document.__slots__}
    spans = [(chunk.start, chunk.end, chunk.page, chunk.heading) for chunk in chunks]
    return {"document": {**fields, "metadata": dict(document.metadata)}, "spans": spans, "tokens": tokens}


def send(stream: BinaryIO, message: Mapping[str, Any]) -> None:
    payload = json.dumps(message).encode("utf-8")
    stream.write(struct.pack(">I", len(payload)) + payload)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """None at the end of the stream."""
    head = stream.read(4)
    return json.loads(stream.read(struct.unpack(">I", head)[0])) if len(head) == struct.calcsize(">I") else None


if __name__ == "__main__":
    main()
