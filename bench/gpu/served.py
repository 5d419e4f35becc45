"""Over HTTP: the latency of a rerank, and throughput on ragged lengths against sentence-transformers."""

import gc
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import torch

from bench.gpu.card import seconds
from bench.gpu.checkpoints import EMBEDDER, MINILM, RERANKER, Shape, Texts, make, texts
from bench.gpu.encoders import PAIR, QUERY, SPECIAL
from bench.gpu.report import Row
from bench.gpu.run import Run

MEAN, LONGEST = 124, 480
BATCH_SIZES = (32, 128)
"""sentence-transformers' default, and one that suits a large card."""
ASKED_MS, ASKED_TIMES = 50, 2
FRACTION = 0.01
"""Of the work, with --small."""


def served_rows(run: Run) -> Iterator[Row]:
    yield _latency(run)
    for shape in (RERANKER, MINILM):
        yield from _against_cross_encoder(run, shape)
    yield from _against_sentence_transformer(run)


def _latency(run: Run) -> Row:
    folder = make(RERANKER, run.folder, run.device.type, small=run.small)
    lengths = [QUERY] + [PAIR - QUERY - SPECIAL] * (4 if run.small else 100)
    took = []
    with run.served(folder, "score") as client:
        for seed in range(3 if run.small else 30):
            query, *documents = texts(folder, seed, lengths)
            began = time.perf_counter()
            rerank(client, folder, query, documents)
            took.append((time.perf_counter() - began) * 1000)
    name = f"{RERANKER.name}: {len(lengths) - 1} pairs of {PAIR} tokens over HTTP"
    return Row(name, float(np.median(took[len(took) // 3 :])), "ms", ASKED_MS, "less", at="median; texts always new")


def _against_cross_encoder(run: Run, shape: Shape) -> Iterator[Row]:
    folder = make(shape, run.folder, run.device.type, small=run.small)
    query, *documents = texts(folder, 1, [QUERY, *_lengths(run)])
    with run.served(folder, "score") as client:
        rerank(client, folder, query, documents)
        ours = len(documents) / seconds(lambda: rerank(client, folder, query, documents), run.device)
    yield Row(f"{shape.name}: ragged pairs over HTTP", ours, "pairs/s", at=f"one request of {len(documents)}")
    if find_spec("sentence_transformers") is None:
        return
    from sentence_transformers import CrossEncoder  # noqa: PLC0415 - where it is installed

    model = CrossEncoder(str(folder), device=run.device.type, max_length=512, model_kwargs=_precision(run))
    pairs = [(query, document) for document in documents]
    yield from _times(run, f"{shape.name}: times CrossEncoder.predict", ours, model.predict, pairs)


def _against_sentence_transformer(run: Run) -> Iterator[Row]:
    folder = make(EMBEDDER, run.folder, run.device.type, small=run.small)
    inputs = texts(folder, 2, _lengths(run))
    with run.served(folder, "embed") as client:
        embed(client, folder, inputs)
        ours = len(inputs) / seconds(lambda: embed(client, folder, inputs), run.device)
    yield Row(f"{EMBEDDER.name}: ragged texts over HTTP", ours, "texts/s", at=f"one request of {len(inputs)}")
    if find_spec("sentence_transformers") is None:
        return
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - where it is installed

    model = SentenceTransformer(str(folder), device=run.device.type, model_kwargs=_precision(run))
    yield from _times(run, f"{EMBEDDER.name}: times SentenceTransformer.encode", ours, model.encode, inputs)


def _times(run: Run, name: str, ours: float, work: Callable[..., Any], inputs: list[Any]) -> Iterator[Row]:
    """Against the better of its batch sizes."""
    rates = {}
    for size in BATCH_SIZES:
        work(inputs[:size], batch_size=size)
        rates[size] = len(inputs) / seconds(lambda: work(inputs, batch_size=size), run.device)  # noqa: B023  runs now
    size = max(rates, key=rates.__getitem__)
    yield Row(name, ours / rates[size], "times", ASKED_TIMES, at=f"it makes {rates[size]:,.0f}/s in batches of {size}")
    gc.collect()
    if run.device.type == "cuda":
        torch.cuda.empty_cache()


def _lengths(run: Run) -> list[int]:
    return Texts(3).lengths(int(2000 * (FRACTION if run.small else 1)), MEAN, LONGEST)


def _precision(run: Run) -> dict[str, Any]:
    return {"dtype": getattr(torch, run.dtype)}


def rerank(client: httpx2.Client, folder: Path, query: str, documents: list[str]) -> None:
    body = {"model": folder.name, "query": query, "documents": documents, "return_documents": False}
    answer = client.post("/rerank", json=body)
    answer.raise_for_status()
    assert len(answer.json()["results"]) == len(documents)


def embed(client: httpx2.Client, folder: Path, inputs: list[str]) -> None:
    answer = client.post("/v1/embeddings", json={"model": folder.name, "input": inputs, "encoding_format": "base64"})
    answer.raise_for_status()
    assert len(answer.json()["data"]) == len(inputs)
