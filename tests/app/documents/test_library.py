"""The collections of the orchestrator: one that is slow to open holds up no other."""

import asyncio
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from app.documents.library import Library
from app.settings import AppSettings
from indexing.errors import DamagedIndexError, UnknownJobError
from indexing.store.local import LocalStores, Store, collection_path
from tests.indexing.made import MANIFEST, item

pytestmark = pytest.mark.anyio


@pytest.fixture
def library(tmp_path: Path):
    for name in ("slow", "quick"):
        with LocalStores(tmp_path).create_or_open(name, MANIFEST) as store:
            store.put([item(name, "red apples")])
    library = Library(AppSettings(data_dir=tmp_path))
    yield library
    library.close()


async def test_a_collection_that_opens_slowly_holds_up_no_other(library: Library, tmp_path: Path) -> None:
    current = collection_path(tmp_path, "slow") / "CURRENT"
    current.unlink()
    os.mkfifo(current)  # whoever reads it waits until somebody writes
    opening = asyncio.create_task(library.store("slow"))
    try:
        async with asyncio.timeout(60):
            assert (await library.run((await library.store("quick")).stats)).documents == 1
            await library.drop("quick")
        assert not opening.done()
    finally:
        (fd := os.open(current, os.O_WRONLY), os.write(fd, b"nothing"), os.close(fd))
        with pytest.raises(DamagedIndexError):
            await opening


async def test_a_job_is_found_without_opening_its_collection(library: Library, tmp_path: Path) -> None:
    with LocalStores(tmp_path).jobs("slow") as jobs:
        job = jobs.job_create("index", 3)
    (bm25,) = collection_path(tmp_path, "slow").glob("g*/bm25-*")
    shutil.rmtree(bm25)
    assert (await library.job("slow", job)).total == 3
    with pytest.raises(UnknownJobError):
        await library.job("quick", job)
    assert not bm25.exists(), "opening the collection builds it again"
    await library.store("slow")
    assert bm25.exists()
    assert (await library.job("slow", job)).total == 3


async def test_an_empty_default_hides_no_other_collection(tmp_path: Path) -> None:
    with Store.create_or_open(collection_path(tmp_path, "mine"), MANIFEST) as mine:
        mine.put([item("a", "red apples")])
    with closing(Library(AppSettings.load(data_dir=tmp_path))) as library:
        assert await library.default() == "mine"
        with Store.create_or_open(collection_path(tmp_path, "default"), MANIFEST) as default:
            assert await library.default() == "mine"
            default.put([item("b", "blue plums")])
            assert await library.default() == "default"
