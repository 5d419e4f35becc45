"""Throughput of an ingest against the embed service's own, on the same chunks: one table.

    python bench/ingest.py ../shared/data/squad_dev/corpus.jsonl --url http://127.0.0.1:8001

First the chunks are cut; then the service embeds them, as many requests in flight as a build has; then the build does
all: reading, cutting, embedding, writing. The two take turns, so that a noisy machine is noisy for both.
"""

import argparse
import asyncio
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from indexing.chunk import Chunker
from indexing.document import passage
from indexing.read.formats.load import load
from indexing.settings import IndexSettings
from indexing.store.local import Store
from indexing.sync.embed import Embedder
from indexing.sync.indexer import Indexer, manifest_of
from services.client import EmbedClient
from services.settings import EndpointSettings


async def alone(client: EmbedClient, texts: list[str], settings: IndexSettings) -> float:
    began = time.perf_counter()
    async with Embedder(client, batch_size=settings.batch_chunks, in_flight=settings.embed_in_flight) as embedding:
        await embedding.vectors(texts)
    return time.perf_counter() - began


async def build(client: EmbedClient, corpus: Path, settings: IndexSettings) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create_or_open(Path(folder) / "c", await manifest_of(client, settings))
        async with Indexer(store, client, settings) as builder:
            began = time.perf_counter()
            report = await builder.sync([corpus])
            took = time.perf_counter() - began
        store.close()
    if report.failures:
        raise SystemExit(f"failed: {report.failures[0]}")
    return took


async def main(options: argparse.Namespace) -> None:
    client = EmbedClient(EndpointSettings(url=options.url, model=options.model, timeout_s=600))
    settings = IndexSettings()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        with options.corpus.open() as source:
            corpus.write_text("".join(islice(source, options.documents)))
        async with Indexer(None, client, settings) as builder:  # type: ignore[arg-type] # only asked for its chunker
            chunker = Chunker(await builder.chunker())
        chunks = [chunk for document in load(corpus) for chunk in chunker.chunks(document)[0]]
        texts = list(dict.fromkeys(passage(chunk.heading, chunk.text) for chunk in chunks))
        times = [
            (await alone(client, texts, settings), await build(client, corpus, settings)) for _ in range(options.rounds)
        ]
    service, whole = np.min(times, axis=0)
    print(f"{len(texts):,} chunks, best of {options.rounds}")
    print(f"{'embed service alone':22} {len(texts) / service:8.1f} chunks/s")
    print(f"{'ragline index':22} {len(texts) / whole:8.1f} chunks/s   {service / whole:.1%} of it")
    await client.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8001")
    parser.add_argument("--model", default="bge-small-en-v1.5-int8")
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(main(parser.parse_args()))
