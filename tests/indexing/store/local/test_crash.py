"""A writer is killed at random moments, beside a reader: nothing acknowledged is lost, and nothing is there twice."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from indexing.store.local import Store, collection_path
from tests.indexing.made import MANIFEST, vector_of
from tests.indexing.store.local.crash_writer import IDS, State, applied, document


class Reader:
    """Searches all the while; what it finds must be what it says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.rounds = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        try:
            with Store.open(self._path) as store:
                while not self._stop.is_set():
                    self._look(store, f"doc{self.rounds % IDS} version 1 chunk 1")
                    self.rounds += 1
        except Exception as exc:  # noqa: BLE001 (whatever it is, the test must see it)
            self.wrong.append(repr(exc))

    def _look(self, store: Store, text: str) -> None:
        query = vector_of(text)
        hits = store.search_dense(query, 20)
        scores = {hit.chunk_id: hit.score for hit in hits}
        if len(scores) != len(hits):
            self.wrong.append(f"twice: {hits}")
        versions: dict[str, set[object]] = {}
        for chunk in store.chunks(list(scores)):
            if abs(float(vector_of(chunk.text) @ query) - scores[chunk.id]) > 1e-5:
                self.wrong.append(f"{chunk.text!r} is not what was scored")
            versions.setdefault(chunk.document_id, set()).add(chunk.metadata["version"])
        self.wrong += [f"{identity} in versions {found}" for identity, found in versions.items() if len(found) > 1]
        sparse = store.search_sparse(text, 20)
        if len({hit.chunk_id for hit in sparse}) != len(sparse):
            self.wrong.append(f"twice in BM25: {sparse}")


def killed_after(path: Path, journal: Path, seed: int, seconds: float) -> None:
    command = [sys.executable, "-m", "tests.indexing.store.local.crash_writer", str(path), str(journal), str(seed)]
    writer = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        while "ready" not in (journal.read_text() if journal.exists() else ""):
            assert writer.poll() is None, writer.stderr.read()
            time.sleep(0.01)
        time.sleep(seconds)
        assert writer.poll() is None, writer.stderr.read()
    finally:
        writer.kill()
        writer.communicate()


def outcomes(state: State, journal: Path) -> list[State]:
    """The states that may be found: with all that was acknowledged, and with or without what was under way."""
    lines = journal.read_text().splitlines()[1:]
    begun = None
    for line in lines:
        if line == "ok":
            state, begun = applied(state, begun), None
        else:
            try:
                begun = json.loads(line)
            except ValueError:  # cut off in the middle: it was not begun
                break
    return [state] if begun is None else [state, applied(state, begun)]


def check(path: Path, possible: list[State]) -> State:
    with Store.open(path) as store:
        found = {row.id: (row.metadata["version"], row.source) for row in store.documents(limit=10 * IDS)[0]}
        assert found in possible
        for identity, (version, source) in found.items():
            expected, chunks, vectors = document(identity, version, source)
            stored = store.document_chunks(identity)
            assert [chunk.text for chunk in stored] == [chunk.text for chunk in chunks]
            assert store.text(identity) == expected.text
            if chunks:
                (best, *_) = store.search_dense(vectors[-1], 3)
                assert best.chunk_id == stored[-1].id
                np.testing.assert_allclose(best.score, 1, atol=1e-5)
        sparse = {hit.chunk_id for hit in store.search_sparse("chunk", 100_000)}
        assert len(sparse) == store.stats().chunks
        assert store.verify() == []
    return found


def kill_many(tmp_path: Path, times: int, seed: int) -> None:
    path, rng = collection_path(tmp_path, "crash"), random.Random(seed)
    Store.create_or_open(path, MANIFEST).close()
    state: State = {}
    for number in range(times):
        journal = tmp_path / f"journal{number}"
        with Reader(path) as reader:
            killed_after(path, journal, seed * 1000 + number, rng.uniform(0, rng.choice([0.1, 0.6, 3])))
        assert reader.wrong == []
        state = check(path, outcomes(state, journal))


def killed_at_each_step(what: str, path: Path, copies: Path) -> list[Path]:
    """Copies of a collection's folder, each from a process killed a step later; the last is from one that was not."""
    command = [sys.executable, "-m", "tests.indexing.store.local.crash_steps", what, str(path), str(copies)]
    subprocess.run(command, check=True)
    return sorted(copies.iterdir())


def test_a_creation_may_be_killed_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.mkdir()
    *killed, _ = killed_at_each_step("create", path, tmp_path / "copies")
    assert len(killed) > 5
    for copy in killed:
        with Store.create_or_open(copy, MANIFEST) as store:
            store.put([document("a", 1, "/a")])
            assert store.verify() == []


def test_a_writer_is_killed_at_random_moments(tmp_path: Path) -> None:
    kill_many(tmp_path, 8, seed=int(os.environ.get("CRASH_SEED", "1")))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_writer_is_killed_at_many_random_moments(tmp_path: Path, seed: int) -> None:
    kill_many(tmp_path, 20, seed)
