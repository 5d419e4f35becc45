"""Fields and indexes of the collections in Milvus that make up one of ours."""

from dataclasses import dataclass
from typing import Any

from pymilvus import DataType, Function, FunctionType, MilvusClient

from indexing.errors import IndexMismatchError
from indexing.store.manifest import Manifest

MAX_BYTES = 65_535
"""Of a string in UTF-8."""
_KEY_BYTES = 5000
_TERMS = "terms"
SPARSE = "sparse"
VECTOR = "vector"
NO_VECTOR = [0.0, 0.0]
"""In collections without vectors, for Milvus demands one."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a collection's parts in Milvus, which allows no hyphens: H stands for one, for we allow no capitals."""

    chunks: str
    documents: str
    texts: str

    @classmethod
    def of(cls, prefix: str, name: str) -> "Names":
        stem = prefix + name.replace("-", "H")
        return cls(f"{stem}_chunks", f"{stem}_documents", f"{stem}_texts")


def catalog() -> tuple[Any, Any]:
    """Fields and indexes of the list of collections."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("name", DataType.VARCHAR, is_primary=True, max_length=MAX_BYTES)
    _add(schema, DataType.VARCHAR, "manifest", max_length=MAX_BYTES)
    return _without_vectors(schema)


def chunks(manifest: Manifest, *, lite: bool) -> tuple[Any, Any]:
    """`terms` has words that our analyzer has stemmed, so that both stores match the same."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    _add(schema, DataType.VARCHAR, "document", "source", "title", "heading", "hash", "text", max_length=MAX_BYTES)
    _add(schema, DataType.INT64, "version", "ordinal", "start", "stop", "page")
    _add(schema, DataType.JSON, "facts")
    _add(schema, DataType.FLOAT_VECTOR, VECTOR, dim=manifest.dimension)
    words = {"tokenizer": "standard" if lite else "whitespace"}
    _add(schema, DataType.VARCHAR, _TERMS, max_length=MAX_BYTES, enable_analyzer=True, analyzer_params=words)
    _add(schema, DataType.SPARSE_FLOAT_VECTOR, SPARSE)
    schema.add_function(Function("bm25", FunctionType.BM25, [_TERMS], [SPARSE]))
    indexes = _indexes("document", "hash")
    kind, params = dense(manifest.vectors)
    indexes.add_index(VECTOR, index_type=kind, metric_type="IP", params=params)
    indexes.add_index(SPARSE, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return schema, indexes


def documents() -> tuple[Any, Any]:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=_KEY_BYTES)
    _add(schema, DataType.VARCHAR, "document", "source", "title", "media_type", max_length=MAX_BYTES)
    _add(schema, DataType.VARCHAR, "metadata", "pages", "content_hash", max_length=MAX_BYTES)
    _add(schema, DataType.INT64, "version", "chars", "chunks")
    _add(schema, DataType.DOUBLE, "added")
    return _without_vectors(schema, "document", "source", "content_hash")


def texts() -> tuple[Any, Any]:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=_KEY_BYTES)
    _add(schema, DataType.VARCHAR, "document", "text", max_length=MAX_BYTES)
    _add(schema, DataType.INT64, "version")
    return _without_vectors(schema, "document")


def _without_vectors(schema: Any, *scalars: str) -> tuple[Any, Any]:
    _add(schema, DataType.FLOAT_VECTOR, VECTOR, dim=len(NO_VECTOR))
    indexes = _indexes(*scalars)
    indexes.add_index(VECTOR, index_type="FLAT", metric_type="IP")
    return schema, indexes


def _add(schema: Any, kind: DataType, *names: str, **params: Any) -> None:
    for name in names:
        schema.add_field(name, kind, **params)


def _indexes(*columns: str) -> Any:
    params = MilvusClient.prepare_index_params()
    for column in columns:
        params.add_index(column, index_type="INVERTED")
    return params


def dense(vectors: str) -> tuple[str, dict[str, int]]:
    """Milvus' index for a FAISS factory string. Raises IndexMismatchError where it has none."""
    head, _, code = vectors.partition(",")
    number = int("".join(filter(str.isdigit, head)) or 0)
    if vectors == "auto":
        return "AUTOINDEX", {}
    if vectors == "Flat":
        return "FLAT", {}
    if head.startswith("HNSW") and code in {"", "Flat"} and number:
        return "HNSW", {"M": number, "efConstruction": 200}
    if head.startswith("IVF") and code in {"Flat", "SQ8"} and number:
        return f"IVF_{code.upper()}", {"nlist": number}
    raise IndexMismatchError(
        f"index.vectors {vectors!r} has no counterpart in Milvus: set it to 'auto', 'Flat', 'HNSW32', 'IVF4096,Flat'"
        " or 'IVF4096,SQ8'"
    )
