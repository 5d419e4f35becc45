"""Encoders: their share of the card's matrix rate, and how near 16 bits come to float32."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import transformers

from bench.gpu.card import flops_a_token, matrix_rate
from bench.gpu.checkpoints import EMBEDDER, MINILM, RERANKER, Shape, Texts, make, texts
from bench.gpu.report import Row
from bench.gpu.run import Run
from services.encoder.batcher import Batcher
from services.encoder.tokenizer import Tokenizer, Truncation
from services.engines.encoder.interface import Tokens
from services.engines.encoder.torch import CUDA_LANES as LANES
from services.engines.encoder.torch import TorchEncoder
from services.http.metrics import Metrics
from services.weights.checkpoint import read_checkpoint

LENGTH, PAIR, QUERY, SPECIAL = 512, 202, 12, 3
RELATIVE = 2e-2


def encoder_rows(run: Run) -> Iterator[Row]:
    yield from _shares(run)
    yield from _agreement(run)


def _shares(run: Run) -> Iterator[Row]:
    """The queue and the engine without HTTP and tokenizer, on inputs that are tokens already."""
    peak = matrix_rate(run.device, small=run.small)
    yield Row("bfloat16 matrix rate of the card", peak / 1e12, "TFLOP/s", at="square products")
    for shape, asked in ((EMBEDDER, 50), (RERANKER, 50), (MINILM, None)):
        yield _share(run, shape, peak, asked=asked)
        yield _share(run, shape, peak, lanes=1)
        lengths = Texts(0).lengths(4 * _count(run), 124, LENGTH)
        ragged = _tokens_a_second(run, shape, lengths, lanes=LANES)
        yield Row(f"{shape.name}: ragged inputs, mean 124", ragged, "tokens/s", at=f"lanes: {LANES}")


def _share(run: Run, shape: Shape, peak: float, *, asked: float | None = None, lanes: int = LANES) -> Row:
    rate = _tokens_a_second(run, shape, [LENGTH] * _count(run), lanes=lanes)
    flops = rate * flops_a_token(shape.configuration(small=run.small), LENGTH)
    how = f"{rate:,.0f} tokens/s, lanes: {lanes}"
    return Row(f"{shape.name}: inputs of {LENGTH} tokens, of that rate", 100 * flops / peak, "%", asked, at=how)


def _count(run: Run) -> int:
    return 8 if run.small else 1024


def _tokens_a_second(run: Run, shape: Shape, lengths: Sequence[int], *, lanes: int) -> float:
    folder = make(shape, run.folder, run.device.type, small=run.small)
    encoder = open_encoder(run, folder)
    encoder.lanes = lanes
    random = np.random.default_rng(0)
    zeros = np.zeros(LENGTH, dtype=np.int64)
    inputs = [Tokens(random.integers(5, 8000, n), zeros[:n]) for n in lengths]
    return sum(lengths) / asyncio.run(_fastest(encoder, inputs))


async def _fastest(encoder: TorchEncoder, inputs: Sequence[Tokens]) -> float:
    """Seconds of the best of three, after one that warms up."""
    batcher = Batcher(
        encoder, probe=inputs[0], max_batch_tokens=10**6, max_queue_tokens=10**8, metrics=Metrics("bench")
    )
    await batcher.start()
    took = []
    for _ in range(4):
        began = time.perf_counter()
        await batcher.run(inputs)
        took.append(time.perf_counter() - began)
    await batcher.stop()
    return min(took[1:])


def _agreement(run: Run) -> Iterator[Row]:
    """In 16 bits, all pairs in one batch, against transformers in float32, one pair after the other.

    Asked of float16, in which encoders are served; random weights say little of bfloat16's error on trained ones.
    """
    for shape in (RERANKER, MINILM):
        folder = make(shape, run.folder, run.device.type, small=run.small)
        query, *documents = texts(folder, 7, [QUERY, *Texts(7).lengths(40, 124, 400)])
        tokenizer = Tokenizer.load(folder, max_model_len=512)
        inputs = list(chain(*tokenizer.encode_pairs([query], documents, Truncation(limit=512))))
        for dtype in ("float16", "bfloat16"):
            half = open_encoder(run, folder, dtype=dtype).forward(inputs)[:, 0]
            whole = _one_by_one(run, folder, shape, inputs)
            spread = np.ptp(whole)
            error = np.abs(half - whole).max() / np.abs(whole).max()
            asked = RELATIVE if dtype == "float16" else None
            yield Row(f"{shape.name}: largest error of a logit, of the largest", error, "", asked, "less", dtype)
            clear = np.subtract.outer(whole, whole) > RELATIVE * spread
            swapped = int((clear & (np.subtract.outer(half, half) <= 0)).sum())
            how = f"{dtype}, {clear.sum()} pairs more than {RELATIVE:.0%} of the spread apart"
            asked = 0 if asked else None
            yield Row(f"{shape.name}: clear pairs whose order changes", swapped, "", asked, "less", how)


def _one_by_one(run: Run, folder: Path, shape: Shape, inputs: Sequence[Tokens]) -> np.ndarray:
    model = getattr(transformers, shape.kind).from_pretrained(folder, dtype=torch.float32).to(run.device).eval()
    with torch.inference_mode():
        rows = [model(torch.from_numpy(each.ids)[None].to(run.device)).logits[0, 0].item() for each in inputs]
    return np.array(rows)


def open_encoder(run: Run, folder: Path, *, dtype: str = "") -> TorchEncoder:
    return TorchEncoder(
        read_checkpoint(folder),
        device=run.device.type,
        dtype=dtype or run.dtype,
        pad_id=1,
        threads=run.threads,
    )
