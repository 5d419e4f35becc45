"""Made documents and vectors for the tests of the store: small, seeded, and alike on every machine."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from indexing.document import Chunk, Document, Scalar
from indexing.store.interface import DocumentStore, Item
from indexing.store.manifest import Manifest

DIMENSION = 16
MANIFEST = Manifest(embedding_model="made/embedder", dimension=DIMENSION)
OTHER = replace(MANIFEST, embedding_model="made/other", dimension=8)


def vector_of(text: str) -> NDArray[np.float32]:
    """A unit vector (DIMENSION,) that only the text decides."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def item(
    identity: str, *texts: str, metadata: Mapping[str, Scalar] | None = None, source: str = "", heading: str = ""
) -> Item:
    """A document of these chunks, joined by blank lines."""
    chunks, start = [], 0
    for ordinal, text in enumerate(texts):
        chunks.append(Chunk(ordinal, text, start, start + len(text), None, heading))
        start += len(text) + 2
    whole = "\n\n".join(texts)
    document = Document(
        id=identity,
        source=source or f"/made/{identity}.txt",
        title=identity.title(),
        text=whole,
        media_type="text/plain",
        metadata=metadata or {},
        pages=(),
        content_hash=hashlib.sha256(whole.encode()).hexdigest(),
    )
    vectors = np.array([vector_of(text) for text in texts], np.float32).reshape(len(texts), DIMENSION)
    return document, chunks, vectors


def known(store: DocumentStore) -> dict[str, tuple[str, str]]:
    """source -> (document id, content hash) of all documents."""
    return {row.source: (row.id, row.content_hash) for row in store.known_below("")}


def clustered(rows: int, seed: int, *, centres: int = 200) -> NDArray[np.float32]:
    """Unit vectors (rows, DIMENSION) around centres that are the same for every seed."""
    middle = np.random.default_rng(0).standard_normal((centres, DIMENSION))
    random = np.random.default_rng(seed)
    vectors = middle[random.integers(0, centres, rows)] + 0.6 * random.standard_normal((rows, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def bulk(vectors: NDArray[np.float32], first: int = 0, *, chunks: int = 100) -> list[Item]:
    """Documents of `chunks` chunks each; vector n is that of the chunk "row n", counted from `first`."""
    items = []
    for start in range(0, len(vectors), chunks):
        part = vectors[start : start + chunks]
        number = (first + start) // chunks
        document, made, _ = item(
            f"bulk{number:05}",
            *(f"row {first + start + n}" for n in range(len(part))),
            metadata={"number": number, "percent": number % 100},
        )
        items.append((document, made, part))
    return items
