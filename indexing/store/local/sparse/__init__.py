"""BM25 search: a tantivy index, which follows SQLite."""
