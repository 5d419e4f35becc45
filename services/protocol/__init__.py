"""Request and response bodies as in vLLM 0.33: a module for each task, and here what they share."""

import time
import uuid
from contextvars import ContextVar
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

INT64 = 2**63
"""A 64-bit integer lies in [-INT64, INT64 - 1]."""


def new_id() -> str:
    """A request id, for a client that gave no X-Request-Id."""
    return uuid.uuid4().hex[:16]


current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
"""The id of the request that is being answered, which calls to other services carry on; "" outside of one."""

RequestId = Annotated[str, Field(default_factory=new_id, min_length=0)]
"""With min_length pydantic refuses lone surrogates, which the response, with the same id, could not encode."""


ZeroIfNull = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]
"""Clients write null for what was not set, LangChain's of Cohere for one."""


def now() -> int:
    return int(time.time())


def _fail_fast(schema: Any) -> Any:
    """The schema, with fail_fast on every list and dict in it."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_fail_fast, schema))
    if not isinstance(schema, dict):
        return schema
    parts = {name: _fail_fast(part) for name, part in schema.items()}
    return parts | {"fail_fast": True} if schema.get("type") in ("list", "dict") else parts


class Wire(BaseModel):
    """A request body; unknown fields are ignored, as in vLLM.

    Of each list and object the first wrong item is reported: building an error for each of 100,000 takes seconds.
    """

    model_config = ConfigDict(extra="allow")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = _fail_fast(handler(source))
        return schema


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
