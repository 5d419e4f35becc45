"""FAISS indexes: which one is made for how many vectors."""

from typing import Any

from indexing.errors import IndexMismatchError
from indexing.store.local.dense.native import faiss

AUTO = "auto"
SEAL_ROWS = 8192
"""The buffer is written as a segment when it has so many rows."""
SCAN_ROWS = 32_768
"""From so many rows on, IVF is faster than a scan."""
_SQ8_ROWS = 8_000_000
_MIN_ROWS_PER_LIST = 39
"""FAISS warns where it trains a list with fewer."""


def sealed_factory(factory: str) -> str:
    """For a segment of a buffer: SQ8, which is trained in no time, unless the user asked for "Flat"."""
    return "Flat" if factory == "Flat" else "SQ8"


def merged_factory(factory: str, rows: int, dimension: int) -> str:
    """For a merged segment. A scan of SQ8 costs 65 ns a vector (384 dimensions, one core), so IVF pays from 32k on.

    It has the power of two next below 4 sqrt(rows) lists, where FAISS's guidelines begin. Past 8 million vectors, 3 GB
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
    """An untrained index that keeps chunk ids. Raises IndexMismatchError for a factory string that is not supported."""
    if not factory.startswith(_SUPPORTED):
        raise IndexMismatchError(f"index.vectors {factory!r} does not start with {', '.join(_SUPPORTED)}: {_TRY}")
    whole = factory if factory.startswith("IVF") else f"IDMap,{factory}"
    try:
        return faiss.index_factory(dimension, whole, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as exc:
        raise IndexMismatchError(
            f"index.vectors {factory!r} is no FAISS factory string for {dimension} dimensions: {_TRY}"
        ) from exc


_SUPPORTED = ("IVF", "HNSW", "Flat", "SQ")
_TRY = "set it to 'auto', 'Flat', 'HNSW32' or 'IVF4096,SQ8'"


def candidates_per_hit(factory: str) -> int:
    """How many candidates a search takes for each hit, to choose from by exact scores: more for shorter codes."""
    return 10 if "PQ" in factory or "RaBitQ" in factory else 2
