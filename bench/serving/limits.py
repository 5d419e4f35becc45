"""The engines alone, in this process, without a server: what no server over them can pass."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime as ort

from bench.serving.contenders import Task
from bench.serving.texts import Texts
from bench.serving.workloads import (
    EMBEDDINGS,
    NEW_TOKENS,
    PAIR_TOKENS,
    PROMPT_TOKENS,
    QUERY_TOKENS,
    RAGGED_MEAN,
    SPECIAL_TOKENS,
    STREAMS,
)
from services.cores import cores, find_onnx
from services.encoder.tokenizer import Tokenizer, Truncation
from services.engines.encoder.interface import Tokens, pad
from services.engines.generator.process import GeneratorProcess
from services.generate.folder import read_folder
from services.generate.open import open_engine
from services.settings import Settings
from services.weights.fetch import fetch_weights

Limit = Callable[[Texts], tuple[float, str]]
"""Things a second, and how they were reached."""
BATCHES = (1, 2, 4, 8, 16)


class OnnxLimit:
    """The best of one forward a core, of inputs alone, and of all cores on one batch, of several sizes."""

    def __init__(self, task: Task) -> None:
        settings = Settings.load()
        folder = fetch_weights(getattr(settings, task).model, settings.cache_dir)
        file = find_onnx(folder)
        assert file is not None
        self._tokenizer = Tokenizer.load(folder, max_model_len=512)
        self._cores = cores()
        self._alone, self._together = _session(file, 1), _session(file, self._cores)

    def pairs(self, texts: Texts, documents: list[str]) -> tuple[float, str]:
        return self._best(list(chain(*self._tokenizer.encode_pairs([texts.of(QUERY_TOKENS)], documents, Truncation()))))

    def texts(self, texts: list[str]) -> tuple[float, str]:
        return self._best(self._tokenizer.encode(texts, Truncation()))

    def _best(self, inputs: Sequence[Tokens]) -> tuple[float, str]:
        inputs = sorted(inputs, key=len)
        found = [(len(inputs) / self._lanes(inputs), f"{self._cores} lanes of one")]
        for size in BATCHES:
            batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
            began = time.perf_counter()
            for batch in batches:
                _forward(self._together, batch)
            found.append((len(inputs) / (time.perf_counter() - began), f"batches of {size}, {self._cores} threads"))
        return max(found)

    def _lanes(self, inputs: Sequence[Tokens]) -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(self._cores) as threads:
            list(threads.map(lambda tokens: _forward(self._alone, [tokens]), inputs))
        return time.perf_counter() - began


class OpenVinoLimit:
    """openvino-genai's continuous batching, stepped by hand."""

    def __init__(self) -> None:
        from services.engines.generator.openvino import OpenVino  # noqa: PLC0415  heavy

        settings = Settings.load()
        folder = read_folder(fetch_weights(settings.generate.model, settings.cache_dir))
        remote = cast("GeneratorProcess", open_engine(settings.generate, folder, folder.max_model_len))
        self._engine = OpenVino(dict(remote.options))

    def streams(self, count: int) -> tuple[float, str]:
        random = np.random.default_rng()
        for name in range(1, count + 1):
            prompt = random.integers(1000, 40_000, PROMPT_TOKENS + 20).tolist()
            self._engine.add(name, prompt, {"max_tokens": NEW_TOKENS, "temperature": 0.0})
        began = time.perf_counter()
        while self._engine.busy:
            self._engine.step()
        return count * NEW_TOKENS / (time.perf_counter() - began), "openvino-genai, continuous batching"


def limits(task: Task) -> dict[str, Limit]:
    """By the name of the measure that each bounds."""
    if task == "generate":
        engine = OpenVinoLimit()
        return {
            "chat, alone": lambda _: engine.streams(1),
            "chat, 8 streams": lambda _: engine.streams(STREAMS),
        }
    onnx = OnnxLimit(task)
    if task == "embed":
        return {"embeddings, ragged, 64 a call": lambda t: onnx.texts(t.ragged(EMBEDDINGS, RAGGED_MEAN))}
    even = PAIR_TOKENS - QUERY_TOKENS - SPECIAL_TOKENS
    return {
        "rerank, 100 pairs of 202 tokens": lambda t: onnx.pairs(t, t.even(100, even)),
        "rerank, 100 ragged documents": lambda t: onnx.pairs(t, t.ragged(100, RAGGED_MEAN)),
    }


def _session(file: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _forward(session: ort.InferenceSession, batch: Sequence[Tokens]) -> None:
    ids, mask, types = pad(batch, 0)
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    session.run(None, {node.name: feeds[node.name] for node in session.get_inputs()})
