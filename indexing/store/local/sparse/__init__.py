"""Sparse search: BM25 by tantivy."""
