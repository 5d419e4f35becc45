"""Collections on this machine: SQLite holds documents, chunks, vectors and jobs; FAISS and tantivy index them.

path/
├── CURRENT             the name of the generation in use
├── lock, lock.*        of the writer, of merges, of a restore, and of each job that runs
└── g000001/
    ├── store.sqlite3   a write is durable when it is committed here
    ├── vectors/        FAISS segments, each of a range of chunk ids
    └── bm25-1-english/ tantivy; the number grows when it is built again
"""

from indexing.store.local.collection import collection_path, recover
from indexing.store.local.snapshot import restore
from indexing.store.local.store import Store
from indexing.store.local.stores import LocalStores

__all__ = ["LocalStores", "Store", "collection_path", "recover", "restore"]
