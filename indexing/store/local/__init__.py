"""The index of a collection: SQLite holds documents, chunks, vectors and jobs; FAISS and tantivy follow it.

path/
├── CURRENT             the name of the generation in use
├── lock, lock.*        one writer at a time, and one that merges; who runs a job
└── g000001/
    ├── store.sqlite3   the truth: what is committed here is kept
    ├── vectors/        FAISS segments, each of a range of chunk ids
    └── bm25-1-english/ tantivy, how often it was built, and its language
"""

from indexing.store.local.collection import collection_path
from indexing.store.local.snapshot import restore
from indexing.store.local.store import Store
from indexing.store.local.stores import LocalStores

__all__ = ["LocalStores", "Store", "collection_path", "restore"]
