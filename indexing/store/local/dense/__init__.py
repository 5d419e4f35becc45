"""Vector search: FAISS segments and a buffer in memory, which follow SQLite."""
