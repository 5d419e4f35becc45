"""Texts to vectors: /v1/embeddings, /v2/embed, /pooling; and /score and /rerank by cosine."""
