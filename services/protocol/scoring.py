"""/score with all its spellings of a pair, /rerank, /classify."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema
from typing_extensions import TypedDict

from services.protocol import Usage, Wire, ZeroIfNull, now
from services.protocol.pooling import ChatInputRequest, InputRequest, PoolingRequest

Scale = Literal["logit", "probability", "cosine"]


class ScoreMultiModalParam(TypedDict):
    content: Annotated[list[dict[str, Any]], FailFast()]


def _plain(document: Any) -> Any:
    """Takes the text out of {"text": ...}, as Cohere's and Jina's clients send documents."""
    if isinstance(document, dict) and isinstance(document.get("text"), str) and "content" not in document:
        return document["text"]
    return document


_TEXT = {"type": "string"}
_OBJECT = {"type": "object", "properties": {"text": _TEXT}, "required": ["text"]}
_CONTENT = {"type": "object", "properties": {"content": {"type": "array", "items": {"type": "object"}}}}
_ITEM = {"anyOf": [_TEXT, _OBJECT, {**_CONTENT, "required": ["content"]}]}

Item = Annotated[str | ScoreMultiModalParam, BeforeValidator(_plain), WithJsonSchema(_ITEM)]
Items = Item | list[Item]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class ScoringRequest(PoolingRequest):
    max_tokens_per_query: ZeroIfNull = 0
    max_tokens_per_doc: ZeroIfNull = 0
    instruction: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class ScoreQueriesDocumentsRequest(ScoringRequest):
    queries: Items
    documents: Items

    def sides(self) -> tuple[Items, Items]:
        return self.queries, self.documents


class ScoreQueriesItemsRequest(ScoringRequest):
    queries: Items
    items: Items

    def sides(self) -> tuple[Items, Items]:
        return self.queries, self.items


class ScoreDataRequest(ScoringRequest):
    data_1: Items
    data_2: Items

    def sides(self) -> tuple[Items, Items]:
        return self.data_1, self.data_2


class ScoreTextRequest(ScoringRequest):
    text_1: Items
    text_2: Items

    def sides(self) -> tuple[Items, Items]:
        return self.text_1, self.text_2


ScoreRequest = ScoreQueriesDocumentsRequest | ScoreQueriesItemsRequest | ScoreDataRequest | ScoreTextRequest


class RerankRequest(ScoringRequest):
    query: Item
    documents: Items
    top_n: Annotated[ZeroIfNull, Field(ge=0)] = 0
    return_documents: bool | None = None
    """False leaves the documents out; by default they are in the response, as in vLLM."""

    @classmethod
    def refuse(cls, body: dict[str, Any]) -> None:
        super().refuse(body)
        if "texts" in body:  # TEI's name, which LiteLLM sends
            body.setdefault("documents", body["texts"])


class ScoreDatum(BaseModel):
    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreResponse(BaseModel):
    id: str
    object: Literal["list"] = "list"
    created: int = Field(default_factory=now)
    model: str
    data: list[ScoreDatum]
    usage: Usage
    score_scale: Scale
    """What the scores are; not in vLLM."""


class RerankDocument(BaseModel):
    text: str
    multi_modal: None = None


class RerankResult(BaseModel):
    index: int
    document: RerankDocument | None = None
    relevance_score: float


class RerankUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class RerankResponse(BaseModel):
    id: str
    model: str
    usage: RerankUsage
    results: list[RerankResult]
    score_scale: Scale
    meta: dict[str, Any] | None = None
    """Cohere's, on its /v2/rerank."""


class ClassificationRequest(InputRequest):
    pass


class PredictRequest(Wire):
    """TEI's /predict: a text, a pair of texts, or a batch of [text] and [text, text]."""

    inputs: str | Pair | Annotated[list[Annotated[list[str], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    raw_scores: bool = False
    truncate: bool = False
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"


class ClassificationChatRequest(ChatInputRequest):
    pass


class ClassificationDatum(BaseModel):
    index: int
    label: str | None
    probs: list[float]
    num_classes: int


class ClassificationResponse(BaseModel):
    id: str
    object: Literal["list"] = "list"
    created: int = Field(default_factory=now)
    model: str
    data: list[ClassificationDatum]
    usage: Usage


def as_list(items: Items) -> Sequence[Item]:
    return items if isinstance(items, list) else [items]


class Prediction(BaseModel):
    label: str
    score: float
