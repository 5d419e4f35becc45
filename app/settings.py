"""The orchestrator's settings: [ask], how a question is answered; [server], where; [up], how `ragline up` watches."""

import re
from ipaddress import ip_network
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from indexing.settings import IndexingSettings
from services.settings import Section

Grounding = Literal["mark", "strict", "repair"]


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
    answerability: str = "auto"
    """Tells whether the passages answer: a TOML file of `ragline calibrate`; "off"; or "auto": the one in the data_dir,
    else what configs/answerability has for the cross-encoder."""
    min_answerability: float | None = Field(default=None, ge=0, le=1)
    """Probability under which a question is refused; None: as that file says."""
    max_tokens: int = Field(default=512, ge=1)
    """Tokens of an answer at most."""
    context_tokens: int = Field(default=4096, ge=128)
    """Tokens of a prompt at most; the generator's own window bounds it too."""
    temperature: float = Field(default=0.0, ge=0)
    prompt: str = "answer"
    """A file of configs/prompts."""
    evidence_sentences: int = Field(default=0, ge=0, le=64)
    """Sentences that the cross-encoder picks from the passages for the prompt; 0: whole passages."""
    grounding: Grounding = "mark"
    """mark: citations say whether they are verified; strict: the answer ends where no passage carries it; repair: what
    none carries is left out. The best sentences are quoted where nothing remains."""
    deadline_s: float = Field(default=120.0, gt=0)
    """Time for one question, all stages together."""
    cache_entries: int | None = Field(default=None, ge=0)
    """Answers that are kept in memory for the same question over an unchanged index; None: 1000, or with server.api_key
    0, because who asks again may be another."""
    cache_bytes: int = Field(default=32 * 2**20, ge=0)
    """All kept answers together."""


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
    origins: tuple[str, ...] = ()
    """Origins of other web pages that may use the API, and of the chat page behind a proxy that hides its own Host, as
    "https://rag.example"."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-Host counts, as "127.0.0.1" or "10.0.0.0/8"."""
    root_path: str = Field(default="", pattern=r"^(/[\w.~-]+)*$")
    """Where a proxy puts it, as "/rag", whether or not the proxy takes that off the path."""
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#@\s]+(/[\w.~-]+)*/?)?$")
    """Its address as browsers reach it, for the links in answers; empty: the one that a request was sent to."""
    oauth_issuers: tuple[str, ...] = ()
    """Who gives the tokens of MCP clients, where a gateway checks them and sends the API key on in their place."""
    read_only: tuple[str, ...] = ()
    """Collections that the API changes nothing in; an upload that names none goes to ask.collection instead."""
    max_question_chars: int = Field(default=20_000, gt=0)
    max_question_bytes: int = Field(default=256 * 2**10, gt=0)
    """Body of a question with its conversation, and of every other request but an upload."""
    max_body_bytes: int = Field(default=64 * 2**20, gt=0)
    """One upload; it is streamed to the disk."""
    max_concurrent: int = Field(default=64, gt=0)
    """Questions at once; past it, and past what latency_target_s allows, 429 with Retry-After."""
    max_searches: int = Field(default=64, gt=0)
    """Searches and verifications at once, beside the questions."""
    latency_target_s: float = Field(default=30.0, gt=0)
    """Questions and searches are admitted as long as, at the rate measured, they are answered within this time."""
    drain_s: float = Field(default=15.0, ge=0)
    log_questions: bool = False
    """The log's line of a question has its text, too; else its id, times and what was left out alone."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(proxy)) for proxy in proxies)

    @field_validator("origins")
    @classmethod
    def _as_browsers_send_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^/?#@\s]+", origin):
                raise ValueError(f"{origin!r} is no origin; write it as https://rag.example, without a path")
        return tuple(origin.lower() for origin in origins)


class UpSettings(Section):
    hang_s: float = Field(default=60.0, gt=0)
    """A process that has been healthy, and answers no health check for this long, is ended and started again."""
    log_bytes: int = Field(default=16 * 2**20, gt=0)
    """A log longer than this begins anew; the last one is kept as NAME.log.1."""


class AppSettings(IndexingSettings):
    ask: AskSettings = AskSettings()
    server: ServerSettings = ServerSettings()
    up: UpSettings = UpSettings()
