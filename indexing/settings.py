"""The sections [index] and [milvus]."""

from typing import Literal

from pydantic import Field, SecretStr

from services.settings import Section, Settings

StoreKind = Literal["local", "milvus"]


class IndexSettings(Section):
    store: StoreKind = "local"
    """Where collections are: on this machine, or in a Milvus, which several machines may share."""
    chunk_tokens: int = Field(default=256, ge=16, le=8192)
    """Tokens of a chunk at most, counted by the embedding model's tokenizer."""
    chunk_overlap: int = Field(default=0, ge=0)
    """Tokens that a chunk repeats of the one before it."""
    vectors: str = "auto"
    """A FAISS factory string ("Flat", "HNSW32", "IVF4096,SQ8"), or "auto" by size."""
    language: str = "english"
    """Stemming and stop words of BM25."""
    batch_chunks: int = Field(default=64, gt=0)
    """Chunks of one request to the embed service."""
    embed_in_flight: int = Field(default=2, gt=0)
    """Requests to the embed service at once."""
    parse_workers: int = Field(default=1, gt=0)
    """Processes that read documents."""
    parse_timeout_s: float = Field(default=120.0, gt=0)
    """How long a parser may give no result for a file; then the file is reported as failed."""
    parse_memory_mb: int = Field(default=2048, gt=0)
    """Address space of a parser process."""
    scan_models: str = ""
    """Folder of docling's models (`docling-tools models download`), which read PDFs without a text layer.
    Needs `pip install ragline[docling]`, and about 8192 as parse_memory_mb. Empty: such scans are refused."""
    max_file_bytes: int = Field(default=256 * 2**20, gt=0)
    max_document_chars: int = Field(default=20_000_000, gt=0)


class MilvusSettings(Section):
    uri: str = "http://127.0.0.1:19530"
    """URL of the server, or the path of a Milvus Lite file, for one process."""
    token: SecretStr | None = None
    """user:password, or an API key."""
    database: str = ""
    """The Milvus database; empty: its default."""
    prefix: str = Field(default="ragline_", pattern="^[A-Za-z_][A-Za-z0-9_]*$")
    """Prefix of the names of ragline's collections in Milvus."""
    timeout_s: float = Field(default=30.0, gt=0)


class IndexingSettings(Settings):
    index: IndexSettings = IndexSettings()
    milvus: MilvusSettings = MilvusSettings()
