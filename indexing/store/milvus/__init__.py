"""Collections in a Milvus, which several machines read and write at once, without a lock.

Milvus' collection PREFIXcollections has a row with the manifest of each of our collections. Each has three in Milvus,
PREFIXNAME_...:

chunks      a row for each chunk: text, vector, terms, and what filters compare
documents   a row for each version of a document, without its text
texts       the texts of documents, in blocks

A document is put as a new version: its chunks and text, then its row; then the versions before are deleted. Readers
take the newest version that has a row, and drop rows of others. What a writer leaves that dies is never seen; the next
put of the document or `repair` deletes it. Of two writers of the same document, one wins with the whole document.
Jobs stay on the machine that runs them, in an SQLite file.
"""

from indexing.store.milvus.stores import MilvusStores

__all__ = ["MilvusStores"]
