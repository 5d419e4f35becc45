"""The process that builds segments."""

from pathlib import Path

import pytest

from indexing.store.local import Store, collection_path
from indexing.store.local.dense.merge_process import MergeProcess, MergeTask
from tests.conftest import files_run, hostile_folder
from tests.indexing.made import DIMENSION, MANIFEST, bulk, clustered


def test_modules_in_the_folder_it_is_started_in_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = collection_path(tmp_path, "default"), hostile_folder(tmp_path / "hostile")
    with Store.create_or_open(path, MANIFEST) as store:
        store.put(bulk(clustered(300, seed=1)))
    monkeypatch.chdir(folder)
    (database,) = path.rglob("store.sqlite3")
    task = MergeTask(str(database), str(tmp_path / "made.faiss"), 1, 300, DIMENSION, "SQ8")
    result = MergeProcess(threads=1).run(task)
    assert files_run(folder) == []
    assert result is not None
    assert result.chunks == 300
    assert Path(task.out).stat().st_size == result.bytes
