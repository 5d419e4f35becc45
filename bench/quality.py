"""What int8 costs: nDCG@10 of ours against the same models in float32, on judged collections. One table.

    ragline serve FOLDER --task embed --engine torch --port 8471      and score on 8472, of Transformers folders
    python -m bench.quality ../shared/data/scifact --embed http://127.0.0.1:8471 --score http://127.0.0.1:8472

Both embedders rank the sampled documents by cosine; both cross-encoders rerank the DEPTH that our embedder finds.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.headings import ndcg, sample
from bench.serving.contenders import ours
from services.client import EmbedClient, ScoreClient
from services.settings import ScoreSettings, Settings

C = TypeVar("C", EmbedClient, ScoreClient)

DEPTH = 20
A_CALL = 32
Ranking = dict[str, list[str]]
"""Documents by question, best first."""


async def ranked_by_cosine(client: EmbedClient, corpus: Mapping[str, str], queries: Mapping[str, str]) -> Ranking:
    names, texts = list(corpus), list(corpus.values())
    vectors = np.concatenate(
        [await client.embed(texts[i : i + A_CALL], input_type="document") for i in range(0, len(texts), A_CALL)]
    )
    asked = await client.embed(list(queries.values()), input_type="query")
    cosines = asked @ vectors.T
    return {query: [names[i] for i in best] for query, best in zip(queries, best_first(cosines), strict=True)}


async def reranked(
    client: ScoreClient, corpus: Mapping[str, str], queries: Mapping[str, str], found: Ranking
) -> Ranking:
    result = {}
    for query, text in queries.items():
        names = found[query][:DEPTH]
        scores = await client.score(text, [corpus[name] for name in names])
        result[query] = [names[i] for i in best_first(scores)]
    return result


def best_first(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argsort(-scores, axis=-1, kind="stable")


async def measure(folder: Path, options: argparse.Namespace, embed: str, score: str) -> None:
    records, queries, qrels = sample(folder, options.questions, options.documents)
    corpus = {key: f"{row.get('title', '')}\n{row['text']}".strip() for key, row in records.items()}
    models = Settings.load()
    embedders = [await _client(EmbedClient, url, models.embed.model) for url in (embed, options.embed)]
    scorers = [await _client(ScoreClient, url, models.score.model) for url in (score, options.score)]
    found = [await ranked_by_cosine(client, corpus, queries) for client in embedders]
    reread = [await reranked(client, corpus, queries, found[0]) for client in scorers]
    for name, (int8, float32) in (("embed", found), ("rerank", reread)):
        ours_, theirs = (np.mean([ndcg(run[query], qrels[query]) for query in queries]) for run in (int8, float32))
        same = np.mean([int8[query][0] == float32[query][0] for query in queries])
        print(
            f"| {folder.name} | {name} | {ours_:.3f} | {theirs:.3f} | {ours_ - theirs:+.3f} | {same:.0%} |", flush=True
        )
    for client in (*embedders, *scorers):
        await client.aclose()


async def _client(kind: type[C], url: str, model: str) -> C:
    """A client that puts the model's prefixes on, whatever name the server gives it."""
    unnamed = kind(ScoreSettings(url=url))
    name = (await unnamed.model()).id
    await unnamed.aclose()
    return kind(ScoreSettings(url=url, model=model, served_model_name=name, timeout_s=600))


async def main(options: argparse.Namespace) -> None:
    log = Path(tempfile.mkdtemp()) / "log"
    with ours("embed", log) as embed, ours("score", log) as score:
        print("| collection | | int8 | float32 | loss | same document first |\n|---|---|---:|---:|---:|---:|")
        for folder in options.folders:
            await measure(folder, options, str(embed.http.base_url), str(score.http.base_url))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--embed", required=True, help="URL of the embedder in float32")
    parser.add_argument("--score", required=True, help="URL of the cross-encoder in float32")
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--documents", type=int, default=500)
    asyncio.run(main(parser.parse_args()))
