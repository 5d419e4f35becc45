"""/v1/embeddings (OpenAI), /v2/embed (Cohere) and /embed (TEI)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from services.protocol import Usage, Wire, ZeroIfNull, now
from services.protocol.pooling import ChatInputRequest, EncodedRequest, refuse_priority

InputType = Literal["query", "document"]


class EmbeddingRequest(EncodedRequest):
    """`input_type` and `prompt_name`, which vLLM lacks, put the model's prefix before each text."""

    input_type: InputType | None = None
    prompt_name: str | None = None


class EmbeddingChatRequest(ChatInputRequest):
    pass


class TeiEmbedRequest(Wire):
    """The answer is a bare list of vectors. TEI's `model` is not there."""

    inputs: str | list[str] | list[int] | list[list[int]]
    truncate: bool | None = False
    truncation_direction: Literal["Left", "Right"] | None = "Right"
    normalize: bool | None = True
    prompt_name: str | None = None
    dimensions: int | None = None

    def as_openai(self) -> EmbeddingRequest:
        return EmbeddingRequest.model_validate(
            {
                "input": self.inputs,
                "truncate_prompt_tokens": -1 if self.truncate else None,
                "truncation_side": "left" if self.truncation_direction == "Left" else "right",
                "use_activation": self.normalize,
                "prompt_name": self.prompt_name,
                "dimensions": self.dimensions,
            }
        )


class EmbeddingDatum(BaseModel):
    index: int
    object: Literal["embedding"] = "embedding"
    embedding: list[float] | str


class EmbeddingResponse(BaseModel):
    id: str
    object: Literal["list"] = "list"
    created: int = Field(default_factory=now)
    model: str
    data: list[EmbeddingDatum]
    usage: Usage


CohereType = Literal["float", "binary", "ubinary", "base64"]


class CohereEmbedRequest(Wire):
    model: str | None = None
    input_type: str | None = None
    texts: list[str] | None = None
    images: list[str] | None = None
    inputs: list[dict[str, object]] | None = None
    output_dimension: int | None = None
    embedding_types: list[CohereType] | None = None
    truncate: Literal["NONE", "START", "END"] = "END"
    max_tokens: Annotated[int, Field(ge=-1)] | None = None
    priority: ZeroIfNull = 0

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        refuse_priority(self.priority)
        given = [kind for kind in (self.texts, self.images, self.inputs) if kind is not None]
        if len(given) != 1 or not given[0]:
            raise ValueError("Exactly one of texts, images, or inputs must be provided, and it must be non-empty")
        return self


class CohereVersion(BaseModel):
    version: Literal["2"] = "2"


class CohereBilledUnits(BaseModel):
    input_tokens: int
    image_tokens: int = 0


class CohereMeta(BaseModel):
    api_version: CohereVersion = CohereVersion()
    billed_units: CohereBilledUnits


class CohereEmbedResponse(BaseModel):
    id: str
    embeddings: dict[str, list[list[float]] | list[list[int]] | list[str]]
    texts: list[str]
    meta: CohereMeta
    response_type: Literal["embeddings_by_type"] = "embeddings_by_type"
