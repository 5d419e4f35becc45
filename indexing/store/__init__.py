"""Collections: interface.py says what one does; local/ keeps them on this machine, milvus/ in a Milvus."""
