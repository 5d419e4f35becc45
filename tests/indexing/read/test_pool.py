"""Parser processes: what they give, and what becomes of a file that hangs, crashes or eats memory."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from indexing.chunk import ChunkerSettings
from indexing.document import Document
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Limits
from indexing.read.pool import Batch, Parsers, ParserSettings

pytestmark = pytest.mark.anyio


def settings(**changes: float) -> ParserSettings:
    return ParserSettings(
        chunker=ChunkerSettings(64, 0, None),
        limits=Limits(),
        workers=int(changes.get("workers", 1)),
        timeout_s=changes.get("timeout_s", 60),
        memory_bytes=int(changes.get("memory_mb", 2048)) * 2**20,
    )


async def all_of(parsers: Parsers, path: Path, known: dict[str, str] | None = None) -> list[Batch]:
    return [batch async for batch in parsers.file(path, known)]


async def test_a_file_comes_back_with_its_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("# Bees\n\n" + "They make honey. " * 60)
    async with Parsers(settings()) as parsers:
        (batch,) = await all_of(parsers, path)
        (parsed,) = batch.parsed
    assert parsed.document.title == "Bees"
    assert len(parsed.chunks) > 1
    assert all(chunk.text == parsed.document.text[chunk.start : chunk.end] for chunk in parsed.chunks)
    assert [len(parsed.tokens), max(parsed.tokens) <= 64] == [len(parsed.chunks), True]


async def test_known_records_come_as_their_source_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"_id": f"r{i}", "text": f"words {i}"}) + "\n" for i in range(5)))
    async with Parsers(settings()) as parsers:
        (first,) = await all_of(parsers, path)
        known = {parsed.document.source: parsed.document.content_hash for parsed in first.parsed[:3]}
        (second,) = await all_of(parsers, path, known)
    assert [source.partition("#record=")[2] for source in second.unchanged] == ["r0", "r1", "r2"]
    assert [parsed.document.text for parsed in second.parsed] == ["words 3", "words 4"]


async def test_a_document_that_is_text_already() -> None:
    document = Document("d1", "note", "Note", "Some words.", "text/plain", {"year": 2020}, (), "hash")
    async with Parsers(settings()) as parsers:
        parsed = await parsers.document(document)
    assert parsed.document == document
    assert [chunk.text for chunk in parsed.chunks] == ["Some words."]


async def test_an_upload_keeps_its_own_name(tmp_path: Path) -> None:
    spooled = tmp_path / "upload-1"
    spooled.write_text("a,b\n1,2\n")
    async with Parsers(settings()) as parsers:
        (batch,) = [batch async for batch in parsers.upload(spooled, "../../table.csv")]
    assert batch.parsed[0].document.source == "../../table.csv"
    assert batch.parsed[0].document.title == "table"
    assert batch.parsed[0].document.text.startswith("| a | b |")


async def test_refusal_leaves_the_process_in_place(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.txt", tmp_path / "good.txt"
    bad.write_bytes(b"")
    good.write_text("words")
    async with Parsers(settings()) as parsers:
        with pytest.raises(UnreadableError, match="empty"):
            await all_of(parsers, bad)
        began = time.monotonic()
        await all_of(parsers, good)
        assert time.monotonic() - began < 0.3


async def test_memory_is_limited_and_the_next_file_works(tmp_path: Path) -> None:
    greedy, good = tmp_path / "greedy.xml", tmp_path / "good.txt"
    greedy.write_text("<a>" + "<b>x</b>" * 8_000_000 + "</a>")
    good.write_text("words")
    async with Parsers(settings(memory_mb=700)) as parsers:
        with pytest.raises(UnreadableError, match=r"memory|more than 700 MB|broken XML"):
            await all_of(parsers, greedy)
        assert len(await all_of(parsers, good)) == 1


async def test_time_is_limited_and_the_next_file_works(tmp_path: Path) -> None:
    slow, good = tmp_path / "slow.csv", tmp_path / "good.txt"
    slow.write_text("\n".join(",".join(f"r{i}c{j}" for j in range(30)) for i in range(65_000)))
    good.write_text("words")
    async with Parsers(settings(timeout_s=0.5)) as parsers:
        with pytest.raises(UnreadableError, match=r"no result within 0\.5 s"):
            await all_of(parsers, slow)
        assert len(await all_of(parsers, good)) == 1


async def test_a_reader_may_take_its_time(tmp_path: Path) -> None:
    path, timeout_s = tmp_path / "large.jsonl", 3
    path.write_text("".join(json.dumps({"text": f"Line {i}\n" * 80_000}) + "\n" for i in range(3)))
    async with Parsers(settings(timeout_s=timeout_s)) as parsers:
        batches = parsers.file(path)
        found = len((await anext(batches)).parsed)
        await asyncio.sleep(2.2 * timeout_s)  # the worker waits with more than a pipe holds
        found += sum([len(batch.parsed) async for batch in batches])
    assert found == 3


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path, slow = tmp_path / "a.txt", tmp_path / "slow.jsonl"
    path.write_text("words")
    slow.write_text("".join(json.dumps({"text": f"{i} " * 5000}) + "\n" for i in range(300)))
    async with Parsers(settings()) as parsers:
        await all_of(parsers, path)
        idle = parsers._workers[0]._process
        assert idle is not None
        os.kill(idle.pid, 9)
        await idle.wait()
        assert len(await all_of(parsers, path)) == 1
        batches = parsers.file(slow)
        await anext(batches)
        busy = parsers._workers[0]._process
        assert busy is not None
        os.kill(busy.pid, 9)
        with pytest.raises(UnreadableError, match="stops the parser"):
            [batch async for batch in batches]
        assert len(await all_of(parsers, path)) == 1


async def test_two_files_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.txt" for i in range(6)]
    for path in paths:
        path.write_text(path.name)
    async with Parsers(settings(workers=2)) as parsers:
        found = await asyncio.gather(*(all_of(parsers, path) for path in paths))
    assert [batches[0].parsed[0].document.text for batches in found] == [path.name for path in paths]


async def test_reading_that_is_broken_off_frees_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"{i} " * 5000}) + "\n" for i in range(300)))
    async with Parsers(settings()) as parsers:
        batches = parsers.file(path)
        await anext(batches)
        await batches.aclose()
        assert len(await asyncio.wait_for(all_of(parsers, path), 60)) > 1


CONFINED = """
import ctypes, os, signal, socket, sqlite3, subprocess, sys
from indexing.read.worker import _confine
kept, empty, made = sys.argv[1:]
_confine(4 << 30)

def tried(call):
    try: call()
    except OSError: return False
    return True

def write_natively():
    descriptor = ctypes.CDLL(None).open(kept.encode(), os.O_WRONLY | os.O_APPEND)
    assert descriptor > 2
    assert ctypes.CDLL(None).write(descriptor, b"more", 4) == -1

write_natively()
print(*(number for number, call in enumerate([
    lambda: open(os.devnull).close(), lambda: open(made, "w"), lambda: open(kept, "a"),
    lambda: os.truncate(kept, 0), lambda: os.chmod(kept, 0), lambda: os.mkdir(made), lambda: os.rmdir(empty),
    lambda: os.symlink(kept, made), lambda: os.link(kept, made), lambda: os.utime(kept), lambda: os.unlink(kept),
    lambda: os.rename(kept, made), lambda: os.kill(os.getppid(), 0), lambda: os.killpg(0, 0),
    lambda: sqlite3.connect(made), lambda: socket.socket(), lambda: subprocess.run(["true"]), lambda: os.system("true"),
]) if tried(call)))
"""


async def test_the_process_may_not_write_connect_or_start_programs(tmp_path: Path) -> None:
    kept, empty, made = tmp_path / "kept", tmp_path / "empty", tmp_path / "made"
    kept.write_text("precious")
    empty.mkdir()
    command = [sys.executable, "-c", CONFINED, kept, empty, made]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"0\n"), "only reading is allowed"
    assert (kept.read_text(), made.exists()) == ("precious", False)
