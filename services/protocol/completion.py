"""POST /v1/completions."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from services.protocol import RequestId, Usage
from services.protocol.generate import SamplingFields

TokenId = Annotated[int, Field(ge=0)]


class CompletionRequest(SamplingFields):
    prompt: list[TokenId] | list[list[TokenId]] | str | list[str] | None = None
    max_tokens: int | None = 16
    n: Annotated[int, BeforeValidator(lambda value: 1 if value is None else value)] = 1
    echo: bool | None = False
    logprobs: int | None = None
    suffix: str | None = None
    prompt_embeds: Any = None
    add_special_tokens: bool = True
    request_id: RequestId


class CompletionLogprobs(BaseModel):
    text_offset: list[int] = Field(default_factory=list)
    token_logprobs: list[float | None] = Field(default_factory=list)
    tokens: list[str] = Field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = Field(default_factory=list)


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    prompt_logprobs: Any = None
    prompt_token_ids: list[int] | None = None
    routed_experts: str | None = None


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: Usage
    kv_transfer_params: Any = None
    ec_transfer_params: Any = None
    metrics: Any = None
