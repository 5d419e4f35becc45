"""Builds a segment from the vectors of a range of chunk ids: `python -m indexing.store.local.dense.merge_process`.

In a process of its own, at low priority: it takes minutes and memory, which questions must not wait for.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing.errors import IndexingError, StorageError
from indexing.store.database import Database
from indexing.store.interface import Vectors
from indexing.store.local.dense import segment
from indexing.store.local.dense.factory import make
from indexing.store.local.dense.native import faiss
from indexing.store.local.sqlite import rows
from indexing.store.local.sqlite.allowed import Ids
from services.child_process import python_command, python_environment

_BLOCK = 16_384
_POINTS_PER_LIST = 40
_ITERATIONS = 10
_MAX_TRAINING = 500_000
_NICE = 10
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
_SAMPLE = 64
_TOP = 100
_RECALL = 0.99
_STORAGE_ERROR = 7
"""Exit status after a StorageError, whose message is the last line that is printed."""
_SAFETY = 2
"""Factor on nprobe, for it is measured with stored vectors as queries, and questions are less like them."""


@dataclass(frozen=True, slots=True)
class MergeTask:
    database: str
    out: str
    """Path of the new segment file."""
    first: int
    last: int
    """Chunk ids, inclusive."""
    dimension: int
    factory: str


@dataclass(frozen=True, slots=True)
class MergeResult:
    chunks: int
    factory: str
    nprobe: int
    """Or efSearch; 0 where a search scans."""
    bytes: int
    sha256: str


def merge(task: MergeTask) -> MergeResult | None:
    """Write the segment. Returns None where no chunk of the range is left."""
    database = Database(Path(task.database))
    try:
        ids = _ids(database, task)
        if not len(ids):
            return None
        index = make(task.factory, task.dimension)
        _train(index, database, ids, task.dimension)
        for block_ids, vectors in _blocks(database, task):
            index.add_with_ids(vectors, block_ids)
        nprobe = _tuned_nprobe(index, task.factory, _sample(database, ids, _SAMPLE, task.dimension))
        size, digest = segment.write(index, Path(task.out))
        return MergeResult(index.ntotal, task.factory, nprobe, size, digest)
    finally:
        database.close()


def _ids(database: Database, task: MergeTask) -> Ids:
    with database.reading() as connection:
        found = connection.execute("SELECT id FROM vectors WHERE id BETWEEN ? AND ?", (task.first, task.last))
        return np.fromiter((row[0] for row in found), np.int64)


def _blocks(database: Database, task: MergeTask) -> Iterator[tuple[Ids, Vectors]]:
    """One transaction for each block: a long one would keep SQLite from emptying its write-ahead log."""
    for first in range(task.first, task.last + 1, _BLOCK):
        with database.reading() as connection:
            ids, vectors = rows.vectors_between(connection, first, min(first + _BLOCK - 1, task.last), task.dimension)
        if len(ids):
            yield ids, vectors


def _train(index: Any, database: Database, ids: Ids, dimension: int) -> None:
    if index.is_trained:
        return
    lists = getattr(faiss.downcast_index(index), "nlist", 0)
    sample = _sample(database, ids, min(max(lists * _POINTS_PER_LIST, _BLOCK), _MAX_TRAINING), dimension)
    if not lists:
        index.train(sample)
        return
    index.cp.niter, index.cp.max_points_per_centroid = _ITERATIONS, _POINTS_PER_LIST
    nearest = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dimension)) if faiss.get_num_gpus() else None
    index.clustering_index = nearest  # kept alive here, for the index does not own it
    index.train(sample)
    index.clustering_index = None


def _sample(database: Database, ids: Ids, size: int, dimension: int) -> Vectors:
    """Vectors of random chunks, the same at every run, (at most size, dimension)."""
    chosen = np.sort(np.random.default_rng(0).choice(ids, min(size, len(ids)), replace=False))
    matrix = np.empty((len(chosen), dimension), np.float32)
    count = 0
    for start in range(0, len(chosen), _BLOCK):
        with database.reading() as connection:
            _, vectors = rows.vectors(connection, chosen[start : start + _BLOCK].tolist(), dimension)
        matrix[count : count + len(vectors)] = vectors
        count += len(vectors)
    return matrix[:count]


def _tuned_nprobe(index: Any, factory: str, queries: Vectors) -> int:
    """For IVF, twice the least nprobe with which stored vectors find their neighbours; for HNSW, efSearch."""
    if factory.startswith("IVF"):
        most = int(index.nlist)
        _, exact = index.search(queries, _TOP, params=faiss.SearchParametersIVF(nprobe=most))
        for lists in (1 << power for power in range(2, most.bit_length())):
            _, found = index.search(queries, _TOP, params=faiss.SearchParametersIVF(nprobe=lists))
            if _recall(found, exact) >= _RECALL:
                return min(lists * _SAFETY, most)
        return most
    return 4 * _TOP if factory.startswith("HNSW") else 0


def _recall(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    shared = [len(np.intersect1d(some, others)) / len(others) for some, others in zip(found, exact, strict=True)]
    return float(np.mean(shared))


class MergeProcess:
    """Runs merges in another process; stop(), from any thread, kills it."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def run(self, task: MergeTask) -> MergeResult | None:
        """Raises StorageError, and IndexingError where the process fails or is killed."""
        # Not the whole environment, for it may hold keys.
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {
            "OMP_NUM_THREADS": str(self._threads),
            "OMP_WAIT_POLICY": "passive",  # waiting threads that spin would slow those that work, on busy cores
        }
        command = python_command("indexing.store.local.dense.merge_process")
        process = subprocess.Popen(  # noqa: S603 (our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=python_environment(environment),
        )
        self._process = process
        if self._stopped.is_set():
            process.kill()
        output = _exchange(process, json.dumps(asdict(task)).encode() + b"\n")
        if process.returncode == _STORAGE_ERROR:
            raise StorageError(output.decode().splitlines()[-1])
        if process.returncode:
            raise IndexingError(f"merging into {task.out} failed: {output.decode(errors='replace')[-500:].strip()}")
        answer = json.loads(output.splitlines()[-1])
        return None if answer is None else MergeResult(**answer)

    def stop(self) -> None:
        self._stopped.set()
        process = self._process
        if process is not None:
            process.kill()


def _exchange(process: "subprocess.Popen[bytes]", task: bytes) -> bytes:
    """Send the task; returns all that the process prints. It exits when its stdin closes, so never outlives us."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None  # noqa: S101, PT018 (they are pipes)
    with process:
        with suppress(BrokenPipeError):
            stdin.write(task)
            stdin.flush()
        return stdout.read()


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    os.nice(_NICE)
    task = MergeTask(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        result = merge(task)
    except StorageError as exc:
        sys.stdout.write(f"\n{exc}")
        sys.stdout.flush()
        os._exit(_STORAGE_ERROR)
    sys.stdout.write("\n" + json.dumps(None if result is None else asdict(result)))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
