"""The process that builds segments."""

from pathlib import Path

import pytest

from indexing.store.local import Store, collection_path
from indexing.store.local.dense.merge_process import MergeProcess, MergeTask
from tests.indexing.made import DIMENSION, MANIFEST, bulk, clustered


def test_modules_in_the_folder_it_is_started_in_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder, marker = collection_path(tmp_path, "default"), tmp_path / "hostile", tmp_path / "imported"
    with Store.create_or_open(path, MANIFEST) as store:
        store.put(bulk(clustered(300, seed=1)))
    for name in ("numpy.py", "queue.py", "indexing/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"open({str(marker)!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(folder)
    (database,) = path.rglob("store.sqlite3")
    task = MergeTask(str(database), str(tmp_path / "made.faiss"), 1, 300, DIMENSION, "SQ8")
    result = MergeProcess(threads=1).run(task)
    assert not marker.exists()
    assert result is not None
    assert result.chunks == 300
    assert Path(task.out).stat().st_size == result.bytes
