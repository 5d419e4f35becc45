"""A collection built anew beside the one in use, and copies."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from indexing.document import Chunk, Document
from indexing.errors import IndexingError, IndexMismatchError
from indexing.settings import IndexSettings
from indexing.store.local import Store
from indexing.sync.indexer import Indexer, manifest_of
from indexing.sync.rebuild import copy, reindex
from tests.indexing.conftest import hashed_vector
from tests.indexing.made import known

pytestmark = pytest.mark.anyio
BEFORE = IndexSettings(chunk_tokens=64, batch_chunks=16)
AFTER = IndexSettings(chunk_tokens=32, batch_chunks=16)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "long.md").write_text("# Long\n\n" + "Many words are in this text. " * 30)
    records = ({"_id": str(i), "title": f"T{i}", "text": f"Record number {i}.", "n": i} for i in range(30))
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    return folder


@pytest.fixture
async def path(tmp_path: Path, docs: Path, embed_server) -> Path:
    """A collection of `docs`."""
    client = embed_server.client()
    with Store.create_or_open(tmp_path / "index/c", await manifest_of(client, BEFORE)) as store:
        async with Indexer(store, client, BEFORE) as indexer:
            await indexer.sync([docs])
    await client.aclose()
    return tmp_path / "index/c"


async def test_other_chunks_for_the_same_documents(path, embed_server) -> None:
    client = embed_server.client()
    with Store.open(path) as reader:
        before = (known(reader), reader.stats().chunks)
        report = await reindex(path, client, AFTER, lambda _: None)
        after = (known(reader), reader.stats().chunks)
        (identity,) = (i for source, (i, _) in after[0].items() if source.endswith("long.md"))
        assert max(len(chunk.text) for chunk in reader.document_chunks(identity)) < 32 * 6
    assert before[0] == after[0]
    assert after[1] > before[1]
    assert report.documents == 31
    assert not (path / ".next").exists()
    with Store.open(path) as again:
        assert again.manifest.chunk_tokens == 32
        assert again.verify() == []
    await client.aclose()


async def test_what_is_written_meanwhile_is_there_afterwards(path, docs, embed_server) -> None:
    client = embed_server.client()
    embed_server.delay_s = 0.4
    build = asyncio.create_task(reindex(path, client, AFTER, lambda _: None))
    while not (path / ".next" / "CURRENT").exists():
        await asyncio.sleep(0.02)
    with Store.open(path) as live:
        async with Indexer(live, client, BEFORE) as indexer:
            (docs / "late.md").write_text("# Late\n\nThis came in late.")
            (docs / "long.md").write_text("# Long\n\nShort by now.")
            await indexer.sync([docs])
            gone = next(identity for source, (identity, _) in known(live).items() if source.endswith("record=7"))
            live.delete([gone])
    await build
    with Store.open(path) as store:
        assert store.manifest.chunk_tokens == 32
        assert len(store.search_sparse("late", 3)) == 1
        assert len(store.search_sparse("many", 3)) == 0
        assert store.document(gone) is None
    await client.aclose()


async def test_a_build_that_is_broken_off_goes_on(path, embed_server) -> None:
    client = embed_server.client()
    embed_server.delay_s = 0.2
    build = asyncio.create_task(reindex(path, client, AFTER, lambda _: None))
    beside = path / ".next"
    while not (beside / "CURRENT").exists() or not _documents(beside):
        await asyncio.sleep(0.05)
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    kept = _documents(beside)
    embed_server.delay_s = 0.0
    report = await reindex(path, client, AFTER, lambda _: None)
    assert kept > 0
    assert report.documents == 31 - kept
    await client.aclose()


async def test_a_document_that_cannot_be_built_anew_ends_it_with_its_name(path, docs, embed_server) -> None:
    client = embed_server.client()
    with Store.open(path) as live:
        identity, _ = known(live)[str(docs / "long.md")]
        document, _, _ = live.item(identity)
        # As it was taken by a service that is not so strict as the one of today.
        poisoned = replace(document, text="This is poison.")
        live.put([(poisoned, [Chunk(0, poisoned.text, 0, 15, None, "")], hashed_vector(poisoned.text)[None])])
        with pytest.raises(IndexingError, match=r"1 of its documents.*long\.md: .*refused.*index reindex` again"):
            await asyncio.wait_for(reindex(path, client, AFTER, lambda _: None), 30)
        assert live.manifest.chunk_tokens == 64
        assert _documents(path / ".next") == 30
        live.delete([identity])
    report = await reindex(path, client, AFTER, lambda _: None)
    assert report.documents == 0, "the others were kept"
    with Store.open(path) as store:
        assert store.manifest.chunk_tokens == 32
    await client.aclose()


def _documents(path: Path) -> int:
    with Store.open(path) as store:
        return store.stats().documents


async def test_a_copy_has_everything_and_embeds_nothing(path, tmp_path, embed_server) -> None:
    embed_server.texts.clear()
    with Store.open(path) as source, Store.create_or_open(tmp_path / "index/d", source.manifest) as target:
        assert list(copy(source, target)) == [31]
        assert known(source) == known(target)
        assert target.stats().chunks == source.stats().chunks
        (hit, *_) = target.search_sparse("number 12", 1)
        assert target.chunks([hit.chunk_id])[0].metadata == {"n": 12, "record_id": "12"}
    assert embed_server.texts == []


async def test_a_server_puts_no_chunks_for_the_manifest_before_a_reindex(path, embed_server) -> None:
    client = embed_server.client()
    with Store.open(path) as live:
        async with Indexer(live, client, BEFORE) as indexer:
            await indexer.add(added("first"))
            await reindex(path, client, AFTER, lambda _: None)
            before = known(live)
            with pytest.raises(IndexMismatchError, match="chunk_tokens is 32 in the index, but 64 is asked for"):
                await indexer.add(added("second"))
            assert known(live) == before
            await reindex(path, client, BEFORE, lambda _: None)
            await indexer.add(added("second"))
            assert known(live).keys() == before.keys() | {"second"}
    await client.aclose()


async def test_an_indexer_that_began_before_a_reindex_puts_nothing_after_it(path, embed_server) -> None:
    """Its chunks would be those of its own settings, whatever the store says when it starts."""
    client = embed_server.client()
    with Store.open(path) as live:
        async with Indexer(live, client, BEFORE) as indexer:
            await reindex(path, client, AFTER, lambda _: None)
            before = known(live)
            with pytest.raises(IndexMismatchError, match="chunk_tokens is 32 in the index, but 64 is asked for"):
                await indexer.add(added("first"))
            assert known(live) == before
    await client.aclose()


def added(name: str) -> Document:
    return Document(name, name, name, f"Words of the {name}.", "text/plain", {}, (), name)
