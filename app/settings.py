"""The orchestrator's settings: [ask], how a question is answered, and [server], where."""

from typing import Literal

from pydantic import Field, SecretStr

from indexing.settings import IndexingSettings
from services.settings import Section


class AskSettings(Section):
    collection: str = "default"
    """Where a request goes that names no collection; where this one is not there, to the only one there is."""
    top_k: int = Field(default=100, ge=1, le=1000)
    """Hits of each search, dense and BM25."""
    rerank_depth: int = Field(default=100, ge=0, le=1000)
    """Fused candidates that the cross-encoder reads; 0: none."""
    top_n: int = Field(default=5, ge=1, le=100)
    """Passages that survive the rerank."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Relevance (sigmoid of the logit) under which a passage does not answer; None: every passage may."""
    max_tokens: int = Field(default=512, ge=1)
    """Tokens of an answer at most."""
    context_tokens: int = Field(default=4096, ge=128)
    """Tokens of a prompt at most; the generator's own window bounds it too."""
    temperature: float = Field(default=0.0, ge=0)
    prompt: str = "answer"
    """A file of configs/prompts."""
    evidence_sentences: int = Field(default=0, ge=0, le=64)
    """Sentences that the cross-encoder picks from the passages for the prompt; 0: whole passages."""
    grounding: Literal["mark", "strict"] = "mark"
    """mark: citations say whether they are verified; strict: the answer ends where no passage carries it, and a
    sentence is quoted where nothing remains."""
    rrf_k: int = Field(default=60, ge=1)
    deadline_s: float = Field(default=120.0, gt=0)
    """Time for one question, all stages together."""


class ServerSettings(Section):
    url: str = ""
    """Where the command line reaches it; empty: http://HOST:PORT below."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    allow_insecure: bool = False
    """Serve beyond loopback without an API key."""
    hosts: tuple[str, ...] = ()
    """Names by which clients reach it, without port, beside loopback's. Empty: any, if it listens beyond loopback."""
    max_question_chars: int = Field(default=20_000, gt=0)
    max_body_bytes: int = Field(default=64 * 2**20, gt=0)
    """One upload; it is streamed to the disk."""
    max_concurrent: int = Field(default=64, gt=0)
    """Questions at once; past it 429 with Retry-After."""
    drain_s: float = Field(default=15.0, ge=0)


class AppSettings(IndexingSettings):
    ask: AskSettings = AskSettings()
    server: ServerSettings = ServerSettings()
