"""Which FAISS index for how many vectors."""

from typing import Any

from indexing.errors import IndexMismatchError
from indexing.store.local.dense.native import faiss

AUTO = "auto"
SEAL_ROWS = 8192
"""Newest vectors that are searched whole, in memory; then they are sealed into a segment."""
SCAN_ROWS = 32_768
_SQ8_ROWS = 8_000_000
_MIN_ROWS_PER_LIST = 39
"""What FAISS asks for to train a list."""


def sealed_factory(factory: str) -> str:
    """Of a segment straight from the tail: SQ8 needs no training worth the name. "Flat" is what the user asked for."""
    return "Flat" if factory == "Flat" else "SQ8"


def merged_factory(factory: str, rows: int, dimension: int) -> str:
    """Of a merged segment. A scan of SQ8 costs 65 ns a vector (384 dimensions, one core), so IVF pays from 32k on.

    The lists are the power of two next below 4 sqrt(rows), where FAISS's guidelines begin. Past 8 million vectors, 3 GB
    as SQ8, product quantization takes a quarter of that; exact scores from the stored vectors make up for it.
    """
    if factory == AUTO:
        if rows < SCAN_ROWS:
            return "SQ8"
        lists = 1 << round(4 * rows**0.5).bit_length() - 1
        return f"IVF{lists},SQ8" if rows < _SQ8_ROWS else f"IVF{lists},PQ{_quarter(dimension)}x8"
    return factory if rows >= _lists(factory) * _MIN_ROWS_PER_LIST else sealed_factory(factory)


def _quarter(dimension: int) -> int:
    """Bytes of a product-quantized vector: the divisor of the dimension next below a quarter of it."""
    return max(part for part in range(1, dimension // 4 + 1) if dimension % part == 0) if dimension >= 4 else 1  # noqa: PLR2004


def _lists(factory: str) -> int:
    head = factory.partition(",")[0]
    return int(head[3:]) if head.startswith("IVF") and head[3:].isdigit() else 0


def make(factory: str, dimension: int) -> Any:
    """Untrained, with ids of our own. Raises IndexMismatchError for what FAISS does not know, or we do not search."""
    if not factory.startswith(_SEARCHED):
        raise IndexMismatchError(f"index.vectors {factory!r} is none of {', '.join(_SEARCHED)}...; {_TRY}")
    whole = factory if factory.startswith("IVF") else f"IDMap,{factory}"
    try:
        return faiss.index_factory(dimension, whole, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as exc:
        raise IndexMismatchError(
            f"index.vectors {factory!r} is no factory string of FAISS for {dimension} dimensions; {_TRY}"
        ) from exc


_SEARCHED = ("IVF", "HNSW", "Flat", "SQ")
_TRY = "say 'auto', 'Flat', 'HNSW32' or 'IVF4096,SQ8'"


def candidates_per_hit(factory: str) -> int:
    """How many the exact scores choose from: what a code of this size may confuse."""
    return 10 if "PQ" in factory or "RaBitQ" in factory else 2
