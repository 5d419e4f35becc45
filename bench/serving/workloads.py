"""What each contender is asked. Each measure takes fresh texts and gives one figure."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.serving.contenders import Contender, Task
from bench.serving.texts import Texts

PAIR_TOKENS, QUERY_TOKENS, RAGGED_MEAN = 202, 12, 124
SPECIAL_TOKENS = 3
EMBEDDINGS, EMBEDDINGS_A_CALL = 256, 64
CLIENTS = 32
BIG = 1000
PROMPT_TOKENS, NEW_TOKENS, STREAMS = 520, 64, 8


@dataclass(frozen=True, slots=True)
class Measure:
    """unit says which way is better: those of time are better when small."""

    name: str
    unit: str
    run: Callable[[Contender, Texts], Awaitable[float]]

    @property
    def smaller_is_better(self) -> bool:
        return self.unit in ("ms", "s")


async def rerank(contender: Contender, query: str, documents: Sequence[str]) -> None:
    answer = await contender.http.post(
        "/rerank", json={"model": contender.model, "query": query, "documents": documents, "return_documents": False}
    )
    answer.raise_for_status()
    assert len(answer.json()["results"]) == len(documents)


async def embed(contender: Contender, texts: Sequence[str]) -> None:
    path = "/embeddings" if contender.name == "infinity" else "/v1/embeddings"
    answer = await contender.http.post(path, json={"model": contender.model, "input": texts})
    answer.raise_for_status()
    assert len(answer.json()["data"]) == len(texts)


async def rerank_even(contender: Contender, texts: Texts) -> float:
    documents = texts.even(100, PAIR_TOKENS - QUERY_TOKENS - SPECIAL_TOKENS)
    return await _rate(100, rerank(contender, texts.of(QUERY_TOKENS), documents))


async def rerank_ragged(contender: Contender, texts: Texts) -> float:
    return await _rate(100, rerank(contender, texts.of(QUERY_TOKENS), texts.ragged(100, RAGGED_MEAN)))


async def embed_ragged(contender: Contender, texts: Texts) -> float:
    async def calls() -> None:
        for _ in range(0, EMBEDDINGS, EMBEDDINGS_A_CALL):
            await embed(contender, texts.ragged(EMBEDDINGS_A_CALL, RAGGED_MEAN))

    return await _rate(EMBEDDINGS, calls())


async def rerank_clients(contender: Contender, texts: Texts) -> float:
    """CLIENTS callers, each with one pair after the other."""
    documents = texts.even(128, PAIR_TOKENS - QUERY_TOKENS - SPECIAL_TOKENS)
    query = texts.of(QUERY_TOKENS)

    async def client() -> None:
        while documents:
            await rerank(contender, query, [documents.pop()])

    return await _rate(128, _all(client() for _ in range(CLIENTS)))


async def small_beside_big(contender: Contender, texts: Texts) -> float:
    """p99 in ms of requests of one document, one after the other, while one of BIG documents runs."""
    length = PAIR_TOKENS - QUERY_TOKENS - SPECIAL_TOKENS
    query = texts.of(QUERY_TOKENS)
    big = asyncio.create_task(rerank(contender, query, texts.even(BIG, length)))
    await asyncio.sleep(1.0)
    took = []
    while not big.done():
        began = time.perf_counter()
        await rerank(contender, query, [texts.of(length)])
        took.append((time.perf_counter() - began) * 1000)
    await big
    return float(np.percentile(took[:-1] or took, 99))


async def single(contender: Contender, texts: Texts) -> float:
    """ms of one request of one document, nothing else running."""
    length = PAIR_TOKENS - QUERY_TOKENS - SPECIAL_TOKENS
    took = []
    for _ in range(10):
        began = time.perf_counter()
        await rerank(contender, texts.of(QUERY_TOKENS), [texts.of(length)])
        took.append((time.perf_counter() - began) * 1000)
    return float(np.median(took))


@dataclass(frozen=True, slots=True)
class Streamed:
    first_ms: float
    tokens: int


async def chat(contender: Contender, prompt: str) -> Streamed:
    body: dict[str, Any] = {
        "model": contender.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began, first, tokens = time.perf_counter(), 0.0, 0
    async with contender.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if not first and event["choices"] and event["choices"][0]["delta"].get("content"):
                first = (time.perf_counter() - began) * 1000
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
    assert tokens == NEW_TOKENS, tokens
    return Streamed(first, tokens)


async def chat_alone(contender: Contender, texts: Texts) -> float:
    return await _rate(NEW_TOKENS, chat(contender, texts.of(PROMPT_TOKENS)))


async def chat_streams(contender: Contender, texts: Texts) -> float:
    prompts = texts.even(STREAMS, PROMPT_TOKENS)
    return await _rate(NEW_TOKENS * STREAMS, _all(chat(contender, prompt) for prompt in prompts))


async def first_token(contender: Contender, texts: Texts) -> float:
    return (await chat(contender, texts.of(PROMPT_TOKENS))).first_ms


async def first_token_again(contender: Contender, texts: Texts) -> float:
    """Of a prompt that was read before: the same passages, another question."""
    passages = texts.of(PROMPT_TOKENS)
    await chat(contender, f"{passages} {texts.of(8)}")
    return (await chat(contender, f"{passages} {texts.of(8)}")).first_ms


async def _rate(count: int, work: Awaitable[Any]) -> float:
    """Things a second."""
    began = time.perf_counter()
    await work
    return count / (time.perf_counter() - began)


async def _all(works: Any) -> None:
    await asyncio.gather(*works)


MEASURES: dict[Task, tuple[Measure, ...]] = {
    "score": (
        Measure("rerank, 100 pairs of 202 tokens", "pairs/s", rerank_even),
        Measure("rerank, 100 ragged documents", "pairs/s", rerank_ragged),
        Measure("rerank, 32 clients of one pair", "pairs/s", rerank_clients),
        Measure("rerank, one pair alone, median", "ms", single),
    ),
    "embed": (Measure("embeddings, ragged, 64 a call", "texts/s", embed_ragged),),
    "generate": (
        Measure("chat, alone", "tokens/s", chat_alone),
        Measure("chat, 8 streams", "tokens/s", chat_streams),
        Measure("chat, first token", "ms", first_token),
        Measure("chat, first token of a context read before", "ms", first_token_again),
    ),
}


async def _warm_up_score(contender: Contender, texts: Texts) -> None:
    await rerank(contender, texts.of(QUERY_TOKENS), texts.ragged(8, RAGGED_MEAN))


async def _warm_up_embed(contender: Contender, texts: Texts) -> None:
    await embed(contender, texts.ragged(8, RAGGED_MEAN))


async def _warm_up_generate(contender: Contender, texts: Texts) -> None:
    await chat(contender, texts.of(RAGGED_MEAN))


WARM_UPS = {"score": _warm_up_score, "embed": _warm_up_embed, "generate": _warm_up_generate}

OURS_ONCE: dict[Task, tuple[Measure, ...]] = {
    "score": (Measure(f"rerank, one pair beside {BIG:,}, p99", "ms", small_beside_big),),
    "embed": (),
    "generate": (),
}
"""Minutes on each peer, and of no use as a ratio."""
