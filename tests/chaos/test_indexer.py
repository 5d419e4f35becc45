"""`ragline index FOLDER` is killed at random moments while the folder changes, and runs beside another one.

CHAOS_KILLS says how often (20 where it is not given).
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from indexing.store.local import LocalStores
from tests.conftest import RAGLINE
from tests.indexing.cli.test_cli import environment
from tests.indexing.conftest import EmbedServer, embed_server

__all__ = ["embed_server", "environment"]
pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("CHAOS_KILLS", "20"))


class Folder:
    """Files that change at random, and the texts that an index of them must hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._random = random.Random(60)
        self._number = 0
        self.holds: dict[str, list[str]] = {}
        """By file: the texts of its documents. A .jsonl has one a line."""
        self.ever: set[str] = set()
        path.mkdir()

    def change(self) -> None:
        for _ in range(self._random.randrange(1, 12)):
            name = f"{self._random.randrange(4)}/{self._random.randrange(12)}.{self._random.choice(['txt', 'jsonl'])}"
            file, there = self.path / name, name in self.holds
            match self._random.choices(["write", "remove", "rename", "empty"], [8, 2, 2, 1])[0]:
                case "remove" if there:
                    file.unlink()
                    del self.holds[name]
                case "rename" if there:
                    moved = f"moved/{self._random.randrange(12)}{file.suffix}"
                    (self.path / "moved").mkdir(exist_ok=True)
                    file.replace(self.path / moved)
                    self.holds[moved] = self.holds.pop(name)
                case "empty" if there:
                    file.write_text("")
                    self.holds[name] = []
                case _:
                    self._write(name)

    def _write(self, name: str) -> None:
        texts = [self._text() for _ in range(self._random.randrange(1, 60) if name.endswith(".jsonl") else 1)]
        records = name.endswith(".jsonl")
        lines = [json.dumps({"_id": str(i), "text": text}) for i, text in enumerate(texts)] if records else texts
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text("\n".join(lines))
        self.holds[name] = texts
        self.ever.update(texts)

    def _text(self) -> str:
        self._number += 1
        return " ".join(f"Sentence {n} of text {self._number}." for n in range(self._random.choice([1, 5, 200])))

    def texts(self) -> Counter[str]:
        return Counter(text for texts in self.holds.values() for text in texts)


def started(environment: dict[str, str], folder: Folder) -> "subprocess.Popen[str]":
    command = [RAGLINE, "index", folder.path, "--prune"]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def indexed(data_dir: Path) -> Counter[str]:
    stores = LocalStores(data_dir)
    if not stores.names():  # killed before there was one
        return Counter()
    with stores.open("default") as store:
        rows, following = store.documents(limit=100_000)
        assert following is None
        assert store.verify() == []
        return Counter(store.text(row.id) for row in rows)


@pytest.mark.parametrize("writers", [1, 2])
def test_an_index_holds_what_the_folder_holds_after_its_indexers_were_killed(
    environment: dict[str, str], embed_server: EmbedServer, tmp_path: Path, writers: int
) -> None:
    embed_server.delay_s = 0.05
    folder, chance, data_dir = Folder(tmp_path / "docs"), random.Random(writers), tmp_path / "data"
    interrupted, midway, before = 0, 0, Counter[str]()
    for _ in range(-(-KILLS // writers)):
        folder.change()
        running = [started(environment, folder) for _ in range(writers)]
        begun = len(embed_server.requests) + chance.choice([0, 2])  # anywhere in its start, or while it writes
        while len(embed_server.requests) < begun and running[0].poll() is None:
            time.sleep(0.01)
        for process in running:
            time.sleep(chance.uniform(0, 2 / writers))
            process.kill()
        outputs = [process.communicate()[0] for process in running]
        interrupted += sum(process.returncode == -signal.SIGKILL for process in running)
        assert all("Traceback" not in output for output in outputs), outputs
        after = indexed(data_dir)
        assert after.keys() <= folder.ever
        midway += after not in (before, folder.texts())
        before = after
    running = [started(environment, folder) for _ in range(writers)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * writers, outputs
    assert indexed(data_dir) == folder.texts()
    repair = subprocess.run([RAGLINE, "index", "repair"], env=environment, capture_output=True, text=True, check=True)
    assert repair.stdout == "collection 'default' is sound\n"
    assert [file.name for file in data_dir.rglob("lock.job-*")] == []
    counts = {"indexers": writers, "killed": interrupted, "between two commits": midway}
    print(json.dumps({**counts, "documents": folder.texts().total()}))
