"""Chunk sizes and strategies against exact reference spans: one table.

    python bench/chunking.py ../shared/data/chunking_eval --url http://127.0.0.1:8001

Per question the best 5 chunks by the embedding service are compared, character by character, with the reference spans:
recall, precision, IoU; and recall within a budget of 1,000 tokens, which is fair between sizes.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Document
from services.client import EmbedClient
from services.settings import EndpointSettings

BUDGET = 1000
TOP = 5


@dataclass(frozen=True, slots=True)
class Variant:
    strategy: str
    """markdown, plain, or window: so many tokens each, wherever that cuts."""
    tokens: int
    overlap: int = 0


VARIANTS = (
    Variant("plain", 128), Variant("plain", 192), Variant("plain", 256), Variant("plain", 384), Variant("plain", 480),
    Variant("plain", 256, 64), Variant("markdown", 256), Variant("window", 256), Variant("window", 256, 64),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Piece:
    doc: str
    start: int
    end: int
    tokens: int
    text: str


def pieces(variant: Variant, texts: dict[str, str], tokenizer: str) -> list[Piece]:
    if variant.strategy == "window":
        return [piece for doc, text in texts.items() for piece in windows(variant, doc, text, tokenizer)]
    chunker = Chunker(ChunkerSettings(variant.tokens, variant.overlap, tokenizer))
    # One heading is what makes the chunker read all of it as Markdown.
    texts = {doc: text + "\n\n# End" if variant.strategy == "markdown" else text for doc, text in texts.items()}
    found = []
    for doc, text in texts.items():
        chunks, counts = chunker.chunks(Document(doc, doc, doc, text, "text/markdown", {}, (), ""))
        found += [Piece(doc, c.start, c.end, count, c.text) for c, count in zip(chunks, counts, strict=True)]
    return found


def windows(variant: Variant, doc: str, text: str, tokenizer: str) -> Iterator[Piece]:
    encoder = Tokenizer.from_str(tokenizer)
    encoder.no_truncation()
    offsets = encoder.encode(text, add_special_tokens=False).offsets
    for first in range(0, len(offsets), variant.tokens - variant.overlap):
        part = offsets[first : first + variant.tokens]
        yield Piece(doc, part[0][0], part[-1][1], len(part), text[part[0][0] : part[-1][1]])


async def embedded(client: EmbedClient, texts: Sequence[str], input_type: str) -> np.ndarray:
    batches = [texts[i : i + 32] for i in range(0, len(texts), 32)]
    return np.concatenate([await client.embed(batch, input_type=input_type) for batch in batches])


def overlap(spans: list[tuple[str, int, int]], chosen: Sequence[Piece]) -> tuple[float, float, float]:
    """(recall, precision, IoU) in characters."""
    wanted = {(doc, at) for doc, start, end in spans for at in range(start, end)}
    got = {(piece.doc, at) for piece in chosen for at in range(piece.start, piece.end)}
    read = sum(piece.end - piece.start for piece in chosen)
    both = len(wanted & got)
    return both / len(wanted), both / max(read, 1), both / (len(wanted) + read - both)


def within(ranked: Sequence[Piece], budget: int) -> list[Piece]:
    chosen: list[Piece] = []
    for piece in ranked:
        if sum(each.tokens for each in chosen) + piece.tokens > budget:
            break
        chosen.append(piece)
    return chosen


async def main(folder: Path, url: str, model: str) -> None:
    client = EmbedClient(EndpointSettings(url=url, model=model, timeout_s=600))
    tokenizer = await client.tokenizer_json()
    if tokenizer is None:
        raise SystemExit(f"the service at {url} gives no tokenizer.json")
    texts = {path.stem: path.read_text() for path in sorted((folder / "corpora").glob("*.md"))}
    questions = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").open())}
    spans = {
        row["_id"]: [(span["doc"], span["start"], span["end"]) for span in row["spans"]]
        for row in map(json.loads, (folder / "spans.jsonl").open())
    }
    asked = await embedded(client, list(questions.values()), "query")
    print(f"{'strategy':10} {'tokens':>6} {'overlap':>7} {'chunks':>6} {'mean':>5} "
          f"{'recall@5':>8} {'prec@5':>7} {'IoU@5':>6} {'recall@1000tok':>14}")  # fmt: skip
    for variant in VARIANTS:
        found = pieces(variant, texts, tokenizer)
        vectors = await embedded(client, [piece.text for piece in found], "document")
        order = np.argsort(-(asked @ vectors.T), axis=1)[:, :64]
        ranked = [[found[i] for i in row] for row in order]
        five = np.mean([overlap(spans[q], r[:TOP]) for q, r in zip(questions, ranked, strict=True)], axis=0)
        budget = np.mean([overlap(spans[q], within(r, BUDGET))[0] for q, r in zip(questions, ranked, strict=True)])
        mean = np.mean([piece.tokens for piece in found])
        print(f"{variant.strategy:10} {variant.tokens:6} {variant.overlap:7} {len(found):6} "
              f"{mean:5.0f} {five[0]:8.3f} {five[1]:7.3f} {five[2]:6.3f} {budget:14.3f}", flush=True)  # fmt: skip
    await client.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8001")
    parser.add_argument("--model", default="bge-small-en-v1.5-int8")
    options = parser.parse_args()
    asyncio.run(main(options.folder, options.url, options.model))
