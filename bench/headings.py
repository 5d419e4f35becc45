"""Does a chunk's heading belong into what is embedded and into BM25? One table over judged collections.

    python bench/headings.py ../shared/data/squad_dev ../shared/data/scifact --url http://127.0.0.1:8001

Documents are one record each, with their title as the heading; the sample keeps every judged document of the questions.
"""

import argparse
import asyncio
import csv
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Chunk, Document, passage
from indexing.store.local import Store
from indexing.store.manifest import Manifest
from services.client import EmbedClient
from services.settings import EndpointSettings

K = 10


def ndcg(found: Sequence[str], judged: dict[str, int]) -> float:
    gains = [judged.get(doc, 0) / np.log2(i + 2) for i, doc in enumerate(found[:K])]
    best = sorted(judged.values(), reverse=True)[:K]
    return float(sum(gains) / sum(gain / np.log2(i + 2) for i, gain in enumerate(best)))


def sample(folder: Path, questions: int, documents: int) -> tuple[dict[str, dict], dict[str, str], dict[str, dict]]:
    """(corpus, queries, qrels), drawn with a fixed seed."""
    qrels: defaultdict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                qrels[row["query-id"]][row["corpus-id"]] = int(row["score"])
    queries = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").open())}
    corpus = {row["_id"]: row for row in map(json.loads, (folder / "corpus.jsonl").open())}
    draw = random.Random(7)
    chosen = draw.sample(sorted(q for q in qrels if q in queries), min(questions, len(qrels)))
    kept = {doc for q in chosen for doc in qrels[q] if doc in corpus}
    rest = sorted(set(corpus) - kept)
    kept |= set(draw.sample(rest, max(0, min(documents - len(kept), len(rest)))))
    return {d: corpus[d] for d in sorted(kept)}, {q: queries[q] for q in chosen}, dict(qrels)


async def measure(client: EmbedClient, folder: Path, *, headings: bool, questions: int, documents: int) -> list[float]:
    corpus, queries, qrels = sample(folder, questions, documents)
    chunker = Chunker(ChunkerSettings(256, 0, await client.tokenizer_json()))
    items: list[tuple[Document, list[Chunk]]] = []
    for key, row in corpus.items():
        title = row.get("title", "") if headings else ""
        document = Document(key, key, title, row["text"], "text/plain", {}, (), key)
        items.append((document, chunker.chunks(document)[0]))
    texts = [passage(chunk.heading, chunk.text) for _, chunks in items for chunk in chunks]
    vectors = np.concatenate(
        [await client.embed(texts[i : i + 32], input_type="document") for i in range(0, len(texts), 32)]
    )
    with tempfile.TemporaryDirectory() as place:
        store = Store.create_or_open(Path(place) / "s", Manifest("m", vectors.shape[1]))
        at = 0
        for document, chunks in items:
            store.put([(document, chunks, vectors[at : at + len(chunks)])])
            at += len(chunks)
        asked = await client.embed(list(queries.values()), input_type="query")
        dense, sparse = [], []
        for (q, text), vector in zip(queries.items(), asked, strict=True):
            dense.append(ndcg(documents_of(store, store.search_dense(vector, 50)), qrels[q]))
            sparse.append(ndcg(documents_of(store, store.search_sparse(text, 50)), qrels[q]))
        store.close()
    return [float(np.mean(dense)), float(np.mean(sparse))]


def documents_of(store: Store, hits: Sequence) -> list[str]:
    return list(dict.fromkeys(chunk.document_id for chunk in store.chunks([hit.chunk_id for hit in hits])))


async def main(options: argparse.Namespace) -> None:
    client = EmbedClient(EndpointSettings(url=options.url, model=options.model, timeout_s=600))
    print(f"{'collection':20} {'heading':8} {'dense nDCG@10':>14} {'BM25 nDCG@10':>14}")
    for folder in options.folders:
        for headings in (False, True):
            dense, sparse = await measure(
                client, folder, headings=headings, questions=options.questions, documents=options.documents
            )
            print(f"{folder.name:20} {headings!s:8} {dense:14.3f} {sparse:14.3f}", flush=True)
    await client.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8001")
    parser.add_argument("--model", default="bge-small-en-v1.5-int8")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--documents", type=int, default=1500)
    asyncio.run(main(parser.parse_args()))
