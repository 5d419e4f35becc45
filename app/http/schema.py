"""The bodies of the public API's requests and answers."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Collection = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Lower-case letters, digits, - and _.")
]
Scalar = str | int | float | bool
MAX_TOP_N = 100
MAX_MESSAGES = 256
MAX_CLAIMS = 256
"""Claims of one request to /verify."""


class Body(BaseModel):
    """A request body; unknown fields are errors, so that a misspelt one is not ignored in silence.

    str_min_length makes pydantic check strings, and so refuse lone surrogates, which are not UTF-8.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=0)


class ChatMessage(Body):
    role: Literal["system", "user", "assistant"]
    content: str


class RetrievalBody(Body):
    collection: Collection | None = Field(None, description="Empty: the server's default.")
    top_k: int | None = Field(None, ge=1, le=1000, description="Hits of each search, dense and BM25.")
    rerank_depth: int | None = Field(
        None, ge=0, le=1000, description="Fused candidates that the cross-encoder reads, at least top_n; 0: none."
    )
    top_n: int | None = Field(None, ge=1, le=MAX_TOP_N, description="Passages kept after the rerank.")
    retrieve_k: int | None = Field(
        None, ge=1, le=1000, description="top_k's old name.", json_schema_extra={"deprecated": True}
    )
    min_score: float | None = Field(None, ge=0, le=1, description="Relevance under which a passage does not answer.")
    filters: dict[str, Any] | None = Field(
        None, description='{"type": "eq", "key": "title", "value": "…"}; eq ne gt gte lt lte in nin, joined by and, or.'
    )
    rerank: bool = True


class SearchBody(RetrievalBody):
    query: str = Field(min_length=1)


class AskBody(RetrievalBody):
    question: str | None = None
    messages: list[ChatMessage] | None = Field(
        None, max_length=MAX_MESSAGES, description="A conversation instead; the last turn is the question."
    )
    searched_for: str | None = Field(
        None, pattern=r"\S", description="What to search for instead of the question, as an answer's `searched_for`."
    )
    stream: bool = False
    max_tokens: int | None = Field(None, ge=1, le=32_768)
    temperature: float | None = Field(None, ge=0, le=2)
    include_chunks: bool = Field(default=True, description="Sources carry their text.")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.question is None) == (self.messages is None):
            raise ValueError("give either question or messages")
        if not self.text.strip():
            raise ValueError("the question is empty")
        if self.messages is not None and self.messages[-1].role != "user":
            raise ValueError("the last of messages must have the role user")
        return self

    @property
    def text(self) -> str:
        return self.question or (self.messages[-1].content if self.messages else "")


class ClaimBody(Body):
    claim: str = Field(min_length=1)
    passage: str | None = Field(None, description="What the claim is checked against; null: the collection.")


class VerifyBody(Body):
    claims: list[ClaimBody] | None = Field(None, min_length=1, max_length=MAX_CLAIMS)
    text: str | None = Field(None, min_length=1, description="Instead of claims: each of its sentences is one.")
    collection: Collection | None = Field(None, description="Empty: the server's default.")
    filters: dict[str, Any] | None = Field(None, description="As /ask's.")
    top_n: int = Field(20, ge=1, le=MAX_TOP_N, description="Passages that each claim is checked against.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.claims is None) == (self.text is None):
            raise ValueError("give either claims or text")
        return self


class Source(BaseModel):
    """A passage: `score` is the cross-encoder's probability, or where it did not run the mean of the z-scores.

    Sources are in the order of both together.
    """

    index: int
    document_id: str
    chunk_id: int
    title: str
    url: str = Field(description="Where the document came from: a path, an address or an upload's name.")
    page: int | None = Field(description="The page where the passage begins, from 1; null: its format has none.")
    page_end: int | None = Field(description="The page where it ends.")
    heading: str
    start: int = Field(description="Offset of the passage in the document's text, in characters.")
    end: int
    text: str | None
    score: float
    score_scale: Literal["probability", "zscore"]
    rerank_score: float | None = Field(description="The cross-encoder's raw logit.")
    dense_score: float | None
    bm25_score: float | None
    rank_before: int = Field(description="Place before the rerank, from 1.")
    metadata: dict[str, Scalar]


class Support(BaseModel):
    """What a quote says of a claim."""

    quote: str
    quote_start: int = Field(description="Offset of the quote in the document's text, or in the passage that was sent.")
    quote_end: int
    verified: bool = Field(description="The quote says what the claim says: `support` is quoted or entailed.")
    support: Literal["quoted", "entailed", "unsupported", "contradicted"] = Field(
        description="The quote holds the claim word for word, in other words, not, or says the opposite."
    )
    support_score: float = Field(
        description="Share of the claim's words, names and numbers that the quote holds; where an entailment model "
        "decided, its probability."
    )


class CitationOut(Support):
    index: int
    document_id: str
    chunk_id: int
    title: str
    url: str
    page: int | None = Field(description="The page where the quote begins.")
    start: int = Field(description="answer[start:end] is the claim.")
    end: int


class ClaimOut(Support):
    claim: str
    start: int = Field(description="text[start:end] is the claim.")
    end: int
    why: str = Field(description="What the quote lacks; empty where the claim is verified.")
    page: int | None = Field(description="The page where the quote begins.")
    source: Source | None = Field(description="The passage of the quote; null: none was found, or it was sent.")


class UsageOut(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Outcome(BaseModel):
    """How an answer came about."""

    degraded: list[str] = Field(description="Stages that were skipped because their service failed.")
    warnings: list[str]
    timings_ms: dict[str, float]


class SearchOut(Outcome):
    results: list[Source]


class VerifyOut(Outcome):
    results: list[ClaimOut] = Field(description="In the order of the claims.")


class Done(Outcome):
    answered: bool = Field(description="There is an answer: `outcome` is answered or partial.")
    outcome: Literal["answered", "partial", "not_found"] | None = Field(
        description="not_found: the documents do not answer; partial: not all of the question; null: a service failed."
    )
    answerability: float | None = Field(
        description="Probability that the sources answer; null: not reranked, or no model for the cross-encoder."
    )
    missing: list[str] = Field(description="Names and numbers of the question that no source has.")
    form: Literal["quoted", "worded"] | None = Field(
        description="quoted: sentences of the documents as they are; worded: the model's own; null: not answered."
    )
    finish_reason: str
    usage: UsageOut
    model: str
    cached: bool = Field(default=False, description="The answer was given before: index and settings have not changed.")


class AskOut(Done):
    id: str
    answer: str
    searched_for: str | None = Field(
        description="What was searched for: the last turn with words of the turn before; null: the question itself."
    )
    citations: list[CitationOut]
    sources: list[Source]


class DocumentBody(Body):
    id: str | None = Field(None, min_length=1, max_length=256)
    text: str = Field(min_length=1)
    title: str = ""
    url: str = ""
    metadata: dict[str, Scalar] = {}
    collection: Collection | None = None


class DocumentAccepted(BaseModel):
    document_id: str
    job_id: str
    already_existed: bool
    collection: str


class DocumentOut(BaseModel):
    id: str
    title: str
    url: str
    media_type: str
    chunks: int
    characters: int
    metadata: dict[str, Scalar]


class DocumentPage(BaseModel):
    documents: list[DocumentOut]
    next_cursor: str | None


class SimilarOut(BaseModel):
    document: DocumentOut
    score: float = Field(description="Mean cosine of the chunks that were compared with the nearest of this document.")
    share: float = Field(description="Share of the chunks that were compared which this document has, too.")
    exact: bool = Field(description="The texts are equal.")


class SimilarPage(BaseModel):
    results: list[SimilarOut]


class DuplicateOut(BaseModel):
    document: DocumentOut
    copies: list[SimilarOut]
    copies_found: int = Field(description="`copies` has the first 20 of them.")


class DuplicatePage(BaseModel):
    documents: list[DuplicateOut]
    compared: int = Field(description="Documents of this page; those that nothing repeats are left out.")
    next_cursor: str | None


class ChunkOut(BaseModel):
    id: int
    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    heading: str


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    collection: Collection | None = Field(None, description="Empty: the server's default.")
    start: int = Field(0, ge=0, description="In characters.")
    end: int | None = Field(None, ge=0, description="null: the document's end.")
    page: int | None = Field(None, ge=1, description="This page, instead of start and end.")


class TextOut(BaseModel):
    """A part of a document's text."""

    document_id: str
    title: str
    url: str
    text: str
    start: int = Field(description="text is the document's text[start:end], in characters.")
    end: int
    characters: int = Field(description="Of the whole document.")
    page: int | None = Field(description="The page of `start`, from 1; null: its format has none.")
    pages: int = Field(description="Pages of the document; 0: its format has none.")


class CollectionBody(Body):
    name: Collection


class CollectionOut(BaseModel):
    name: str
    documents: int
    chunks: int
    read_only: bool


class CollectionList(BaseModel):
    collections: list[CollectionOut]
    default: str = Field(description="The collection of requests that name none.")


class JobFailure(BaseModel):
    source: str
    reason: str


class JobOut(BaseModel):
    id: str
    kind: str
    state: Literal["running", "done", "failed", "cancelled"]
    total: int | None
    chunks: int
    done: int
    failed: list[JobFailure]
    message: str = Field(description="Why it waits or was cancelled, or what of the document was not read.")
