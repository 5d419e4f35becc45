"""The store at size: recall, latency, memory, adds, readers beside a writer. Prints one table.

    python bench/index.py --rows 1000000 [--path DIR [--part build|search|write|readers]]

Vectors are made: 20,000 clusters of unequal size around 500 topics, so that the nearest neighbours of a query have a
cosine of 0.65 to 0.4. Texts are made of a Zipf vocabulary of 50,000 words, 120 a chunk. Where DIR holds an index of
that size already, it is searched and not built again.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from indexing.document import Chunk, Document
from indexing.store.filters import Filters
from indexing.store.interface import Item
from indexing.store.local import Store, collection_path
from indexing.store.manifest import Manifest

Vectors = NDArray[np.float32]

DIMENSION = 384
CHUNKS = 10
"""Of a document."""
BATCH = 1000
WORDS = 120
TOP_K = 100
QUERIES = 300
MANIFEST = Manifest(embedding_model="made", dimension=DIMENSION)


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Made:
    """Vectors and texts, the same for the same rows in every process."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        topics = unit(random.standard_normal((500, DIMENSION), dtype=np.float32))
        spread = unit(random.standard_normal((20_000, DIMENSION), dtype=np.float32))
        self._clusters = unit(topics[random.integers(0, 500, 20_000)] + spread)
        weights = 1 / np.sqrt(np.arange(1, 20_001))
        self._weights = weights / weights.sum()
        ranks = 1 / (
            30 + np.arange(50_000)
        )  # Zipf-Mandelbrot without the stop words: the first word is in 40% of chunks
        self._words = random.choice(50_000, (5_000, WORDS), p=ranks / ranks.sum())

    def vectors(self, rows: int, seed: int) -> Vectors:
        random = np.random.default_rng((seed, 1))
        centres = self._clusters[random.choice(len(self._clusters), rows, p=self._weights)]
        return unit(centres + 0.75 * unit(random.standard_normal((rows, DIMENSION), dtype=np.float32)))

    def text(self, row: int) -> str:
        words = self._words[row % len(self._words)]
        return " ".join(f"w{word}" for word in np.roll(words, row // len(self._words))) + f" chunk{row}"

    def question(self, number: int) -> str:
        random = np.random.default_rng((number, 2))
        return " ".join(f"w{word}" for word in random.choice(self._words[random.integers(0, 5_000)], 8, replace=False))

    def items(self, first: int, rows: int, seed: int) -> list[Item]:
        vectors = self.vectors(rows, seed)
        return [self._item(first + start, vectors[start : start + CHUNKS]) for start in range(0, rows, CHUNKS)]

    def _item(self, first: int, vectors: Vectors) -> Item:
        chunks, start, texts = [], 0, [self.text(first + n) for n in range(len(vectors))]
        for ordinal, text in enumerate(texts):
            chunks.append(Chunk(ordinal, text, start, start + len(text), None, ""))
            start += len(text) + 1
        number = first // CHUNKS
        document = Document(
            f"d{number}", f"/made/{number}.txt", f"Document {number}", "\n".join(texts), "text/plain",
            {"percent": number % 100}, (), f"{number:064}",
        )  # fmt: skip
        return document, chunks, vectors


def build(path: Path, rows: int, made: Made) -> Iterator[tuple[str, str]]:
    """The figures of building; the parts of this process that make texts and vectors are taken out of the times."""
    if path.is_dir():
        return
    put, peak = 0.0, [0]
    threading.Thread(target=_watch_children, args=(peak,), daemon=True).start()
    with Store.create_or_open(path, MANIFEST) as store:
        for first in range(0, rows, BATCH):
            items = made.items(first, BATCH, first)
            start = time.perf_counter()
            store.put(items)
            put += time.perf_counter() - start
            if first % 100_000 == 0:
                print(f"  {first + BATCH:,} chunks, {put:.0f} s, {_rss(os.getpid())} MB", file=sys.stderr, flush=True)
        start = time.perf_counter()
        store.run_merges()
        settled = time.perf_counter() - start
        segments = len(store.info().segments)
        as_merged = _dense(store, made.vectors(QUERIES, 2**32), {})
        start = time.perf_counter()
        store.compact()
        compacted = time.perf_counter() - start
        yield "chunks put per second, durable and searchable", f"{rows / put:,.0f}"
        yield "merges still to do after the last put", f"{settled:.0f} s"
        yield f"dense top-100 in {segments} segments, as merges left them: p50, p99", as_merged
        yield "build of the whole as one segment (compact)", f"{compacted:.0f} s"
        yield "peak memory of the writer", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
        yield "peak memory of a merge, in its own process", f"{peak[0]} MB"


def _watch_children(peak: list[int]) -> None:
    while True:
        for file in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):
                peak[0] = max(peak[0], *(_rss(int(child)) for child in file.read_text().split()), 0)
        time.sleep(0.2)


def _rss(pid: int) -> int:
    """MB"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return 0


def exact(rows: int, queries: Vectors, made: Made) -> NDArray[np.int64]:
    """(queries, TOP_K): the rows nearest to each, by a scan of all."""
    heap = faiss.ResultHeap(len(queries), TOP_K, keep_max=True)
    for first in range(0, rows, BATCH):
        scores, ids = faiss.knn(queries, made.vectors(BATCH, first), TOP_K, metric=faiss.METRIC_INNER_PRODUCT)
        heap.add_result(scores, ids + first)
    heap.finalize()
    return heap.I


def timed(call: Callable[[int], object], times: int) -> str:
    """After a tenth as warm-up. CPU is this thread's own: what it takes on a machine with nothing else to do."""
    took, cpu = [], []
    for number in range(-times // 10, times):
        start, busy = time.perf_counter(), time.thread_time()
        call(number % times)
        if number >= 0:
            took.append(time.perf_counter() - start)
            cpu.append(time.thread_time() - busy)
    (p50, p99), (cpu50, cpu99) = (np.percentile(times, [50, 99]) * 1e3 for times in (took, cpu))
    return f"{p50:.1f}, {p99:.1f} ms (CPU {cpu50:.1f}, {cpu99:.1f})"


def search(path: Path, rows: int, made: Made) -> Iterator[tuple[str, str]]:
    """In a process of its own, on one core."""
    os.sched_setaffinity(0, {0})
    before = _rss(os.getpid())
    queries = made.vectors(QUERIES, 2**32)
    _forget(path)
    store, took = _reopened(path, queries[0], made.question(0))
    yield "reopen from the disk, to the first answer of both searches", took
    store.close()
    _recall(path)
    store, took = _reopened(path, queries[0], made.question(0))
    yield "reopen from memory", took
    found: dict[int, list[int]] = {}
    yield "dense top-100, one core: p50, p99", _dense(store, queries, found)
    yield "resident memory: before, after dense searches", f"{before}, {_rss(os.getpid())} MB"
    wanted = exact(rows, queries, made)
    texts = {n: {_row(chunk.text) for chunk in store.chunks(ids)} for n, ids in found.items()}
    recall = np.mean([len(texts[n] & set(wanted[n].tolist())) / TOP_K for n in range(QUERIES)])
    yield "recall@100 against exact", f"{recall:.4f}"
    for percent in (1, 10):
        took = timed(lambda n, p=percent: _full(store.search_dense(queries[n], TOP_K, _filter(n, p))), 100)
        yield f"dense, a new filter that leaves {percent}%: p50, p99", took
        took = timed(lambda n, p=percent: store.search_sparse(made.question(n), TOP_K, _filter(-n, p)), 100)
        yield f"BM25, a new filter that leaves {percent}%: p50, p99", took
    took = timed(lambda n: store.search_sparse(made.question(n), TOP_K), QUERIES)
    yield "BM25 top-100 of 8 words, one core: p50, p99", took
    took = timed(lambda n: store.chunks(list(found[n])), QUERIES)
    yield "100 chunks with their texts: p50, p99", took
    store.close()


def _reopened(path: Path, query: Vectors, question: str) -> tuple[Store, str]:
    start = time.perf_counter()
    store = Store.open(path)
    store.search_dense(query, TOP_K)
    store.search_sparse(question, TOP_K)
    return store, f"{time.perf_counter() - start:.2f} s"


def _dense(store: Store, queries: Vectors, found: dict[int, list[int]]) -> str:
    return timed(lambda n: found.update({n: [hit.chunk_id for hit in store.search_dense(queries[n], TOP_K)]}), QUERIES)


def _forget(path: Path) -> None:
    """What the system keeps of the files in memory."""
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _recall(path: Path) -> None:
    """All of the files into the system's memory, where a machine in use has them."""
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                while opened.read(1 << 24):
                    pass


def _row(text: str) -> int:
    return int(text.rpartition("chunk")[2])


def _filter(number: int, percent: int) -> Filters:
    """Another one for each number, so that no search finds it computed."""
    first = number % (100 - percent)
    ends = (("gte", first), ("lt", first + percent))
    return {"type": "and", "filters": [{"type": sign, "key": "percent", "value": value} for sign, value in ends]}


def _full(hits: list[object]) -> None:
    if len(hits) != TOP_K:
        raise SystemExit(f"a filtered search gave {len(hits)} hits, not {TOP_K}")


def write(path: Path, rows: int, made: Made) -> Iterator[tuple[str, str]]:
    with Store.open(path) as store:
        for what, size in (("1,000 chunks", 1000), ("100 documents of 10 chunks", 1000)):
            items = made.items(rows, size, rows + 17)
            start = time.perf_counter()
            store.put(items)
            query = items[-1][2][-1]
            if store.search_dense(query, 1)[0].score < 0.999 or not store.search_sparse(f"chunk{rows + size - 1}", 1):
                raise SystemExit("what was added is not found")
            yield f"add {what}, to searchable both ways", f"{time.perf_counter() - start:.2f} s"
        start = time.perf_counter()
        store.delete([document.id for document, _, _ in items])
        yield "delete 100 documents", f"{time.perf_counter() - start:.2f} s"


def readers(path: Path, rows: int, made: Made, seconds: float = 20.0) -> Iterator[tuple[str, str]]:
    """8 processes that search as fast as they can: alone, and then beside a writer that adds without a pause."""
    for beside in (False, True):
        command = [sys.executable, __file__, "--part", "reader", "--rows", str(rows), "--path", str(path.parents[1])]
        running = [subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.PIPE) for _ in range(8)]
        added = _add_for(seconds, path, rows, made) if beside else 0
        took = np.concatenate([json.loads(each.communicate()[0]) for each in running])
        if any(each.returncode for each in running):
            raise SystemExit("a reader failed")
        p50, p99 = np.percentile(took, [50, 99]) * 1e3
        who = f"beside a writer ({added:,} chunks added)" if beside else "alone"
        yield f"8 readers {who}: p50, p99, searches/s", f"{p50:.1f}, {p99:.1f} ms, {len(took) / seconds:.0f}"


def _add_for(seconds: float, path: Path, rows: int, made: Made) -> int:
    added, until = 0, time.monotonic() + seconds
    with Store.open(path) as store:
        while time.monotonic() < until:
            store.put(made.items(rows + 10_000 + added, 100, rows + 10_000 + added))
            added += 100
        store.delete([f"d{(rows + 10_000 + each) // CHUNKS}" for each in range(0, added, CHUNKS)])
    return added


def reader(path: Path, made: Made, seconds: float) -> list[float]:
    took: list[float] = []
    queries = made.vectors(1000, os.getpid())
    with Store.open(path) as store:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            start = time.perf_counter()
            ids = [hit.chunk_id for hit in store.search_dense(queries[len(took) % 1000], TOP_K)]
            took.append(time.perf_counter() - start)
            if len(ids) != TOP_K or len(set(ids)) != TOP_K:
                raise SystemExit(f"a reader got {len(set(ids))} hits")
    return took


PARTS = {"build": build, "search": search, "write": write, "readers": readers}
"""Each in a process of its own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--path", type=Path)
    parser.add_argument("--part", choices=[*PARTS, "reader"])
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    if not arguments.part:
        whole(arguments.rows, arguments.path)
        return
    path, made = collection_path(arguments.path, f"made-{arguments.rows}"), Made()
    if arguments.part == "reader":
        print(json.dumps(reader(path, made, arguments.seconds)))
        return
    for name, value in PARTS[arguments.part](path, arguments.rows, made):
        print(f"{name}\t{value}", flush=True)


def whole(rows: int, path: Path | None) -> None:
    with contextlib.ExitStack() as stack:
        root = path or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-index-"))
        table: list[list[str]] = []
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--rows", str(rows), "--path", str(root)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            table += [line.split("\t") for line in done.stdout.splitlines()]
    width = max(len(name) for name, _ in table)
    print(f"{rows:,} chunks, vectors of {DIMENSION} dimensions\n")
    print("\n".join(f"{name:{width}}  {value}" for name, value in table))


if __name__ == "__main__":
    main()
