"""The index of a collection: SQLite holds documents, chunks, vectors and jobs; FAISS and tantivy follow it.

path/
├── CURRENT             the name of the generation in use
├── lock, lock.*        one writer at a time, and one that merges; who runs a job
└── g000001/
    ├── store.sqlite3   the truth: what is committed here is kept
    ├── vectors/        FAISS segments, each of a range of chunk ids
    └── bm25-1-english/ tantivy, how often it was built, and its language
"""

from indexing.store.filters import Filters
from indexing.store.interface import DocumentRow, Item, Problem, Stats, text_hash
from indexing.store.jobs import Job
from indexing.store.local.collection import collection_path, collections, drop
from indexing.store.local.maintenance import Info
from indexing.store.local.snapshot import restore
from indexing.store.local.store import Store
from indexing.store.local.successor import Lag
from indexing.store.manifest import Manifest

__all__ = [
    "DocumentRow",
    "Filters",
    "Info",
    "Item",
    "Job",
    "Lag",
    "Manifest",
    "Problem",
    "Stats",
    "Store",
    "collection_path",
    "collections",
    "drop",
    "restore",
    "text_hash",
]
