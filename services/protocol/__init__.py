"""Wire types of the services, as vLLM 0.33 speaks them; a module for each task, and here what all of them share."""

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

INT64 = 2**63
"""Past the largest; the smallest is its negative."""


def new_id() -> str:
    """The part of an answer's id after its prefix, where the client gave no X-Request-Id."""
    return uuid.uuid4().hex[:16]


RequestId = Annotated[str, Field(default_factory=new_id, min_length=0)]
"""A bound, whichever it is, has pydantic refuse lone surrogates: an answer, which carries the id, could not be sent."""


def now() -> int:
    return int(time.time())


class Wire(BaseModel):
    """A request body: fields that nobody knows are accepted and ignored, as vLLM does."""

    model_config = ConfigDict(extra="allow")


class Usage(BaseModel):
    prompt_tokens: int = 0
    total_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None

    @classmethod
    def of_prompt(cls, tokens: int) -> "Usage":
        return cls(prompt_tokens=tokens, total_tokens=tokens)


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: int


class ErrorBody(BaseModel):
    error: ErrorDetail


class ModelPermission(BaseModel):
    id: str = Field(default_factory=lambda: f"modelperm-{new_id()}")
    object: Literal["model_permission"] = "model_permission"
    created: int = Field(default_factory=now)
    allow_create_engine: bool = False
    allow_sampling: bool = True
    allow_logprobs: bool = True
    allow_search_indices: bool = False
    allow_view: bool = True
    allow_fine_tuning: bool = False
    organization: str = "*"
    group: str | None = None
    is_blocking: bool = False


class ModelEntry(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default_factory=now)
    owned_by: str = "ragline"
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    permission: list[ModelPermission] = Field(default_factory=lambda: [ModelPermission()])


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelEntry]


class Version(BaseModel):
    version: str


class Load(BaseModel):
    server_load: int
