"""Collections in Milvus, which several machines read and write at once, without a lock between them.

Milvus' own collection PREFIXcollections has a row for each of ours, with its manifest; and of each there are three,
PREFIXNAME_...:

chunks      a row a chunk: its text, vector and terms, and what filters look at
documents   a row a version of a document: what it is, without its text
texts       a document's text in blocks

A document is put as a new version: chunks and texts first, then its row, then what is older goes. Readers take the
newest version that has a row, and drop what belongs to another. So a writer that dies leaves what nobody sees, which
the next put of that document or `repair` removes; and of two that put the same document at once, one wins whole.
Jobs belong to the machine that runs them, and stay there.
"""

from indexing.store.milvus.stores import MilvusStores

__all__ = ["MilvusStores"]
