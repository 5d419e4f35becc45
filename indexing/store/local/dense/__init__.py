"""Dense search: FAISS segments, and a buffer in memory."""
