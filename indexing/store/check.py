"""Checks of what a store is given: names of collections, documents and vectors."""

import re
from collections.abc import Sequence

import numpy as np

from indexing.document import Chunk, Document
from indexing.errors import CollectionNameError, IndexMismatchError, InvalidDocumentError
from indexing.store.filters import storable
from indexing.store.interface import Vectors
from indexing.store.manifest import Manifest

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MAX_ID_CHARS = 512
_NORM_TOLERANCE = 1e-2


def is_collection_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_collection_name(name: str) -> None:
    """Raises CollectionNameError."""
    if not is_collection_name(name):
        raise CollectionNameError(
            f"{name[:80]!r} is not a name for a collection: use lower-case letters, digits, - and _, at most 64,"
            " and start with a letter or a digit"
        )


def check_query(vector: Vectors, manifest: Manifest, collection: str) -> Vectors:
    """The vector as float32, (dimension,). Raises IndexMismatchError where it has another dimension."""
    query = np.ascontiguousarray(vector, dtype=np.float32).reshape(-1)
    if len(query) != manifest.dimension:
        raise IndexMismatchError(
            f"collection {collection!r} has vectors of {manifest.dimension} dimensions, the query has {len(query)}:"
            f" embed it with {manifest.embedding_model}, or run `ragline index reindex`"
        )
    return query


def check_item(document: Document, chunks: Sequence[Chunk], vectors: Vectors, manifest: Manifest) -> None:
    """Raises InvalidDocumentError, and IndexMismatchError for vectors of another dimension."""
    if not 0 < len(document.id) <= _MAX_ID_CHARS:
        raise InvalidDocumentError(f"a document's id has 1 to {_MAX_ID_CHARS} characters, not {len(document.id)}")
    _check_text(document)
    for chunk in chunks:
        if chunk.text != document.text[chunk.start : chunk.end]:
            raise InvalidDocumentError(
                f"chunk {chunk.ordinal} of {document.source} is not the document's text at {chunk.start} to {chunk.end}"
            )
    _check_vectors(document, len(chunks), vectors, manifest)


def _check_text(document: Document) -> None:
    for field in ("id", "source", "title", "text"):
        if not storable(getattr(document, field)):
            raise InvalidDocumentError(f"{field} of {document.source!a} has a surrogate, which UTF-8 cannot write")
    for name, value in document.metadata.items():
        if not isinstance(value, str | int | float) or not storable(value) or not storable(name):
            raise InvalidDocumentError(
                f"metadata {name!a} of {document.source!a} is {value!a:.80}, and must be a string, a finite number of"
                " 64 bits or a boolean"
            )


def _check_vectors(document: Document, count: int, vectors: Vectors, manifest: Manifest) -> None:
    if vectors.ndim == 2 and vectors.shape[1] != manifest.dimension and count:  # noqa: PLR2004
        raise IndexMismatchError(
            f"the index holds vectors of {manifest.dimension} dimensions from {manifest.embedding_model}, and these"
            f" have {vectors.shape[1]}: run `ragline index reindex` to embed all again, or serve that model again"
        )
    if vectors.shape != (count, manifest.dimension) and (count or vectors.size):
        raise InvalidDocumentError(f"{document.source} has {count} chunks, but vectors of shape {vectors.shape}")
    norms = np.linalg.norm(vectors.reshape(count, -1), axis=1) if count else np.ones(0)
    if not (np.abs(norms - 1) < _NORM_TOLERANCE).all():
        worst = norms[np.argmax(np.abs(norms - 1))]
        raise InvalidDocumentError(f"a vector of {document.source} has length {worst}, not 1: embed with normalization")
