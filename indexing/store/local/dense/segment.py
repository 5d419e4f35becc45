"""A segment: a FAISS index of a range of chunk ids, in a file that is written once and shared by processes."""

import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing.errors import DamagedIndexError
from indexing.store.database import storage_errors
from indexing.store.interface import Vectors
from indexing.store.local.dense.factory import candidates_per_hit
from indexing.store.local.dense.native import faiss
from indexing.store.local.sqlite.allowed import Ids
from services.disk import fsync, sha256

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A row of the table of segments. `ragline index info --json` prints these names."""

    id: int
    file: str
    first: int
    last: int
    """Chunk ids, inclusive."""
    chunks: int
    factory: str
    effort: int
    """nprobe of an IVF index, efSearch of HNSW; 0 where a search scans."""
    bytes: int
    sha256: str
    deaths: int
    """seq of the newest tombstone that was applied when the file was written."""


@dataclass(frozen=True, slots=True)
class Mask:
    """The chunk ids that a search may return."""

    selector: Any
    bits: Bits
    """Bit n of byte m is chunk 8 m + n. The selector points into this memory."""
    fraction: float
    """Share of all chunks that it allows; nprobe grows where it is small."""

    @classmethod
    def of(cls, bits: Bits, ids: int) -> "Mask":
        """`bits` reaches to the highest chunk id; `ids` is the number of all chunks."""
        return cls(faiss.IDSelectorBitmap(bits), bits, int(np.bitwise_count(bits).sum()) / max(ids, 1))

    def count(self, first: int, last: int) -> int:
        """Allowed ids from first to last, and up to 7 before and after, for whole bytes are counted."""
        return int(np.bitwise_count(self.bits[first >> 3 : (last >> 3) + 1]).sum())


@dataclass(frozen=True, slots=True)
class Segment:
    row: SegmentRow
    index: Any

    @classmethod
    def open(cls, directory: Path, row: SegmentRow) -> "Segment":
        """An IVF index is memory-mapped. Raises FileNotFoundError, DamagedIndexError."""
        path = directory / row.file
        if path.stat().st_size != row.bytes:
            raise DamagedIndexError(f"{path} has {path.stat().st_size} bytes, not {row.bytes}: {_REPAIR}")
        try:
            flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if row.factory.startswith("IVF") else 0
            index = faiss.read_index(str(path), flags)
        except RuntimeError as exc:
            path.stat()  # a merge may have deleted it meanwhile
            raise DamagedIndexError(f"{path} cannot be read: {exc}. {_REPAIR}") from exc
        if index.ntotal != row.chunks:
            raise DamagedIndexError(f"{path} holds {index.ntotal} vectors, not {row.chunks}: {_REPAIR}")
        if row.factory.startswith("IVF"):
            # Threads that read ahead cost more than they save where the file is in memory.
            faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
        return cls(row, index)

    def search(self, query: Vectors, k: int, mask: Mask | None) -> tuple[Ids, Vectors]:
        """Ids and approximate inner products of candidates among which the k best are."""
        wanted = min(k * candidates_per_hit(self.row.factory), self.row.chunks)
        found = self._search(query, wanted, mask, self._nprobe(mask))
        if mask is not None and self.row.effort and len(found[0]) < min(k, mask.count(self.row.first, self.row.last)):
            # The probed lists hold too few of the allowed chunks.
            found = self._search(query, wanted, mask, self._max_nprobe())
        return found

    def ids(self) -> Ids:
        """All chunk ids, in no order."""
        if not self.row.factory.startswith("IVF"):
            held: Ids = faiss.vector_to_array(self.index.id_map)
            return held
        lists = self.index.invlists
        parts = [faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n)).copy() for n in range(lists.nlist)]
        joined: Ids = np.concatenate(parts)
        return joined

    def _search(self, query: Vectors, k: int, mask: Mask | None, nprobe: int) -> tuple[Ids, Vectors]:
        parameters = self._parameters(mask, nprobe)
        scores, ids = self.index.search(query.reshape(1, -1), k, params=parameters)
        there = ids[0] >= 0
        return ids[0][there], scores[0][there]

    def _parameters(self, mask: Mask | None, nprobe: int) -> Any:
        selector = None if mask is None else mask.selector
        if self.row.factory.startswith("IVF"):
            return faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
        if self.row.factory.startswith("HNSW"):
            return faiss.SearchParametersHNSW(sel=selector, efSearch=nprobe)
        return faiss.SearchParameters(sel=selector)

    def _nprobe(self, mask: Mask | None) -> int:
        more = 1.0 if mask is None else 1 / max(mask.fraction, 1e-6)
        return min(self._max_nprobe(), round(self.row.effort * more))

    def _max_nprobe(self) -> int:
        return int(self.index.nlist) if self.row.factory.startswith("IVF") else self.row.chunks


_REPAIR = "run `ragline index repair`"


def read_segments(connection: sqlite3.Connection) -> list[SegmentRow]:
    """In the order of their chunk ids."""
    return [SegmentRow(*row) for row in connection.execute("SELECT * FROM segments ORDER BY first_chunk")]


def insert_segment(connection: sqlite3.Connection, row: SegmentRow) -> None:
    """SQLite gives it an id; the row's own is ignored."""
    connection.execute(
        "INSERT INTO segments (file, first_chunk, last_chunk, chunks, factory, effort, bytes, sha256, deaths)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        astuple(row)[1:],
    )


def write(index: Any, path: Path) -> tuple[int, str]:
    """Write the file durably; it appears whole. Returns its bytes and its sha256. Raises StorageError."""
    temporary = path.with_suffix(".new")
    with storage_errors(path):
        try:
            with temporary.open("wb") as file:  # FAISS' own writer does not notice that the last block is not written
                faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
            fsync(temporary)
            size, digest = temporary.stat().st_size, sha256(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync(path.parent)
    return size, digest
