"""Which documents of a collection resemble one: by the stored vectors of its chunks, through the interface alone."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from indexing.store.interface import DocumentRow, DocumentStore

MAX_CHUNKS = 64
"""Chunks of a document that are compared, spread evenly over it."""
NEAREST = 32
"""Chunks that each of them is compared with, its own document's among them."""
HEADING = 0.2
"""By so much the cosine of one text under two headings, as names of a file, is less: both are embedded."""


@dataclass(frozen=True, slots=True)
class Resemblance:
    row: DocumentRow
    score: float
    """Mean over the compared chunks of the inner product with the nearest chunk of the other; 0 where none is near."""
    share: float
    """Share of the compared chunks that the other has, too: within the threshold, or word for word."""
    exact: bool
    """The texts are equal."""


def similar(
    store: DocumentStore, document_id: str, *, threshold: float, only_near: bool = False
) -> list[Resemblance] | None:
    """The documents that resemble this one, the most alike first; None where there is no such document.

    With `only_near`, those that share no chunk are left out, and cost little.
    """
    item = store.item(document_id)
    if item is None:
        return None
    document, chunks, vectors = item
    count = min(len(vectors), MAX_CHUNKS)
    floor = threshold - HEADING if only_near else -1.0
    best: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * count)
    shared: defaultdict[str, set[int]] = defaultdict(set)
    for n, at in enumerate(np.linspace(0, len(vectors) - 1, count).astype(int)):
        scores = {hit.chunk_id: hit.score for hit in store.search_dense(vectors[at], NEAREST) if hit.score >= floor}
        for chunk in store.chunks(list(scores)):
            of = best[chunk.document_id]
            of[n] = max(of[n], scores[chunk.id])
            if scores[chunk.id] >= threshold or chunk.text == chunks[at].text:
                shared[chunk.document_id].add(n)
    found = []
    for other, of in best.items():
        share = len(shared[other]) / count
        if other != document_id and (share or not only_near) and (row := store.document(other)) is not None:
            exact = row.chars == len(document.text) and store.text(other) == document.text
            found.append(Resemblance(row, sum(of) / count, share, exact))
    return sorted(found, key=lambda each: (-each.exact, -each.share, -each.score, each.row.id))
