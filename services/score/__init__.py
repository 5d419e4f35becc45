"""Pairs to scores: /score and /rerank in all their spellings, and /classify."""
