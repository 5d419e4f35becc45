from contextlib import closing
from pathlib import Path

import pytest

from app.documents.library import Library
from app.settings import AppSettings
from indexing.store.local import Store, collection_path
from tests.indexing.made import MANIFEST, item


@pytest.mark.anyio
async def test_an_empty_default_hides_no_other_collection(tmp_path: Path) -> None:
    with Store.create_or_open(collection_path(tmp_path, "mine"), MANIFEST) as mine:
        mine.put([item("a", "red apples")])
    with closing(Library(AppSettings.load(data_dir=tmp_path))) as library:
        assert await library.default() == "mine"
        with Store.create_or_open(collection_path(tmp_path, "default"), MANIFEST) as default:
            assert await library.default() == "mine"
            default.put([item("b", "blue plums")])
            assert await library.default() == "default"
