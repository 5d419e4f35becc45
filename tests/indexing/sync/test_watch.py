"""Changes of a real folder as they are noticed."""

import asyncio
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from indexing.cli.index import _index_changes
from indexing.settings import IndexSettings
from indexing.store.local import Store
from indexing.sync.indexer import Indexer, manifest_of
from indexing.sync.watch import list_files, watch_files
from tests.indexing.made import known

pytestmark = pytest.mark.anyio


async def test_new_changed_and_gone_files(tmp_path: Path) -> None:
    kept, edited, removed = (tmp_path / name for name in ("kept.md", "edited.md", "removed.md"))
    for path in (kept, edited, removed):
        path.write_text("words")
    seen = watch_files([tmp_path], await list_files([tmp_path]), every_s=0.05)
    first = asyncio.create_task(anext(seen))
    await asyncio.sleep(0.3)
    assert not first.done()
    edited.write_text("other words")
    (tmp_path / "new.md").write_text("new")
    (tmp_path / ".hidden").write_text("not seen")
    removed.unlink()
    changed, gone = await asyncio.wait_for(first, 5)
    assert (sorted(path.name for path in changed), gone) == (["edited.md", "new.md"], [removed])
    second = asyncio.create_task(anext(seen))
    await asyncio.sleep(0.2)
    kept.unlink()
    assert await asyncio.wait_for(second, 5) == ([], [kept])
    await seen.aclose()


async def test_a_file_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    seen = watch_files([tmp_path], await list_files([tmp_path]), every_s=0.1)
    first = asyncio.create_task(anext(seen))
    await asyncio.sleep(0.2)
    growing = tmp_path / "growing.txt"
    for i in range(8):
        growing.write_text("x" * (i + 1))
        await asyncio.sleep(0.04)
    changed, _ = await asyncio.wait_for(first, 5)
    assert changed == [growing]
    assert growing.read_text() == "x" * 8
    await seen.aclose()


async def test_a_change_is_followed_beside_others_that_are_undone_by_then(tmp_path: Path, embed_server) -> None:
    docs, client, settings = tmp_path / "docs", embed_server.client(), IndexSettings()
    (docs / "sub").mkdir(parents=True)
    kept, removed, below = docs / "kept.md", docs / "removed.md", docs / "sub/below.md"
    for path in (kept, removed, below):
        path.write_text(f"words of {path.name}")
    with Store.create_or_open(tmp_path / "index", await manifest_of(client, settings)) as store:
        async with Indexer(store, client, settings) as indexer:
            await indexer.sync([docs])
            kept.write_text("other words")
            shutil.rmtree(docs / "sub")
            removed.unlink()
            assert await _index_changes(indexer, [below, kept, removed], (), "default", Console(quiet=True))
        assert set(known(store)) == {str(kept)}
        assert len(store.search_sparse("other", 3)) == 1
    await client.aclose()
