"""Memory and speed of ingesting many records with made-up vectors: what a build costs beside the model.

python bench/ingest_memory.py --records 1000000
"""

import argparse
import asyncio
import json
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexing.settings import IndexSettings
from indexing.store.local import Store
from indexing.sync.indexer import Indexer, manifest_of
from indexing.sync.progress import Progress
from services.client import EmbedClient, ModelCard
from services.settings import EndpointSettings

DIMENSION = 384


class MadeUp(EmbedClient):
    """Random unit vectors at once."""

    def __init__(self) -> None:
        super().__init__(EndpointSettings(url="http://127.0.0.1:9", model="made-up"))
        self._random = np.random.default_rng(1)

    async def model(self, *, deadline: float | None = None) -> ModelCard:  # noqa: ARG002
        return ModelCard("made-up", 512)

    async def tokenizer_json(self) -> str | None:
        return None

    async def embed(self, texts: Sequence[str], *, input_type: str, deadline: float | None = None) -> np.ndarray:  # noqa: ARG002 - the client's own signature
        vectors = self._random.standard_normal((len(texts), DIMENSION), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write(path: Path, records: int) -> None:
    draw = random.Random(1)
    words = [
        f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ne", "su") for b in ("ra", "ti", "vo") for c in ("n", "s", "", "x")
    ]
    with path.open("w") as file:
        for number in range(records):
            text = " ".join(draw.choices(words, k=60))
            file.write(json.dumps({"_id": str(number), "title": f"Record {number}", "text": text}) + "\n")


def megabytes(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


async def main(records: int) -> None:
    client = MadeUp()
    settings = IndexSettings(parse_memory_mb=1024)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write(corpus, records)
        store = Store.create_or_open(Path(folder) / "c", await manifest_of(client, settings))
        before = megabytes(resource.RUSAGE_SELF)
        for name in ("first build", "second, all unchanged"):
            async with Indexer(store, client, settings) as builder:
                began = time.perf_counter()
                report = await builder.sync([corpus], on_progress=progress)
            took = time.perf_counter() - began
            if report.failures:
                raise SystemExit(f"failed: {report.failures[0]}")
            print(f"{name:22} {report.chunks:,} chunks in {took:.0f} s ({records / took:,.0f}/s); peak "
                  f"{megabytes(resource.RUSAGE_SELF):,.0f} MB, {before:,.0f} of it before; "
                  f"parser {megabytes(resource.RUSAGE_CHILDREN):,.0f} MB", flush=True)  # fmt: skip
        store.close()
    await client.aclose()


def progress(state: Progress) -> None:
    if round(state.elapsed_s) % 10 == 0:
        print(
            f"  {state.documents:,} documents, {state.elapsed_s:.0f} s, {megabytes(resource.RUSAGE_SELF):,.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().records))
