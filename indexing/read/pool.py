"""A pool of parser processes: files in, documents and their chunks out, within limits of time and memory."""

import asyncio
import json
import struct
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from indexing.chunk import ChunkerSettings
from indexing.document import Chunk, Document
from indexing.errors import NotADocumentError, NoTextError, UnreadableError
from indexing.read.formats.extract import Limits
from services.child_process import python_command, python_environment
from services.errors import EngineError

KNOWN_DIGITS = 16
"""Hexadecimal digits of a content hash that are compared to see whether a record has changed."""
_START_S = 60.0
_ERRORS = {each.__name__: each for each in (NoTextError, NotADocumentError)}


@dataclass(frozen=True, slots=True)
class ParserSettings:
    chunker: ChunkerSettings
    limits: Limits
    workers: int
    timeout_s: float
    """Without any result: a file of many records may take longer while they come."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document, its chunks, and the tokens of each chunk's text."""

    document: Document
    chunks: tuple[Chunk, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of a file's documents: new ones whole, known ones by their source."""

    parsed: tuple[Parsed, ...]
    unchanged: tuple[str, ...]
    """Sources of known documents."""
    chars: int
    """Of all of them: the progress in the file, approximately."""


class Parsers:
    """`workers` processes, each started when it is first needed; `async with` ends them."""

    def __init__(self, settings: ParserSettings) -> None:
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._workers = [_Worker(settings) for _ in range(settings.workers)]
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            await worker.stop()

    def file(self, path: Path, known: Mapping[str, str] | None = None) -> AsyncGenerator[Batch]:
        """The documents of a file; those in `known` (source -> content hash) only by their source.

        Raises UnreadableError, possibly after documents that could be read.
        """
        return self._read({"path": str(path), "known": _record_hashes(known, str(path))})

    def upload(
        self, spooled: Path, name: str, *, source: str = "", known: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Batch]:
        """The documents of the upload at `spooled`; their source is `source`, else `name`."""
        return self._read(
            {"path": str(spooled), "name": name, "source": source, "known": _record_hashes(known, source or name)}
        )

    async def document(self, document: Document) -> Parsed:
        """Chunk a document that is text already."""
        fields = {name: getattr(document, name) for name in Document.__slots__}
        request = {"document": {**fields, "metadata": dict(document.metadata)}, "known": {}}
        async with aclosing(self._read(request)) as batches:
            (parsed,) = [each async for batch in batches for each in batch.parsed]
        return parsed

    async def _read(self, request: Mapping[str, Any]) -> AsyncGenerator[Batch]:
        worker = await self._idle.get()
        ended = False
        try:
            async with aclosing(worker.messages(request)) as messages:
                async for message in messages:
                    if "end" in message:
                        ended = True
                        if message["end"]:
                            raise _ERRORS.get(message["error"], UnreadableError)(message["end"])
                    else:
                        parsed = tuple(map(_unpack, message["documents"]))
                        yield Batch(parsed, tuple(message["unchanged"]), message["chars"])
        finally:
            if not ended:
                await worker.stop()
            self._idle.put_nowait(worker)


def _record_hashes(known: Mapping[str, str] | None, file: str) -> dict[str, str]:
    """Record keys and shortened hashes: a file may have a million records."""
    return {source[len(file) :]: digest[:KNOWN_DIGITS] for source, digest in (known or {}).items()}


def _unpack(packed: Mapping[str, Any]) -> Parsed:
    fields = packed["document"]
    document = Document(**{**fields, "pages": tuple(fields["pages"]), "omitted": tuple(fields["omitted"])})
    chunks = (
        Chunk(ordinal, document.text[start:end], start, end, page, heading)
        for ordinal, (start, end, page, heading) in enumerate(packed["spans"])
    )
    return Parsed(document, tuple(chunks), tuple(packed["tokens"]))


class _Worker:
    """One process, replaced after a time-out or a crash."""

    def __init__(self, settings: ParserSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    async def messages(self, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """All messages of a request. Raises UnreadableError where the process ends or is silent for too long."""
        process = self._process
        if process is None or process.returncode is not None:
            process = await self._start()
        timeout = self._settings.timeout_s
        try:
            await _send(process, request)
            while True:
                message = await asyncio.wait_for(_receive(process), timeout)
                yield message
                if "end" in message:
                    return
        except TimeoutError as exc:
            raise UnreadableError(f"given up: no result within {timeout:g} s") from exc
        except (EOFError, ConnectionError) as exc:
            memory = self._settings.memory_bytes // 2**20
            raise UnreadableError(f"given up: it stops the parser or needs more than {memory} MB") from exc

    async def _start(self) -> asyncio.subprocess.Process:
        # The rest of this environment may hold keys.
        env = python_environment({"TOKENIZERS_PARALLELISM": "false"})
        process = await asyncio.create_subprocess_exec(
            *python_command("indexing.read.worker"), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, start_new_session=True, env=env,
        )  # fmt: skip
        self._process = process
        settings = self._settings
        config = {
            "limits": asdict(settings.limits), "chunker": asdict(settings.chunker), "timeout_s": settings.timeout_s,
            "memory_bytes": settings.memory_bytes,
        }  # fmt: skip
        try:
            await _send(process, config)
            started = await asyncio.wait_for(_receive(process), _START_S)
        except (EOFError, ConnectionError, TimeoutError) as exc:
            await self.stop()
            raise EngineError(
                f"the parser process does not start; run `{sys.executable} -P -m indexing.read.worker` to see why"
            ) from exc
        if "refused" in started:
            await self.stop()
            raise EngineError(started["refused"])
        return process

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.communicate()  # wait() alone never returns where the pipe is full


async def _send(process: asyncio.subprocess.Process, message: Mapping[str, Any]) -> None:
    payload = await asyncio.to_thread(lambda: json.dumps(message).encode())
    stream = process.stdin
    if stream is None:
        raise EOFError
    stream.write(struct.pack(">I", len(payload)) + payload)
    await stream.drain()


async def _receive(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Raises EOFError (asyncio.IncompleteReadError) where the process has ended."""
    stream = process.stdout
    if stream is None:
        raise EOFError
    (length,) = struct.unpack(">I", await stream.readexactly(4))
    payload = await stream.readexactly(length)
    message: dict[str, Any] = await asyncio.to_thread(json.loads, payload)
    return message
