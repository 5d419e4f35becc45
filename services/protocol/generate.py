"""Request fields that chat and text completions share."""

from typing import Annotated, Any, Literal

from pydantic import Field

from services.protocol import INT64, Wire, ZeroIfNull


class StreamOptions(Wire):
    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class JsonSchema(Wire):
    name: str
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Wire):
    """Exactly one must be set."""

    json_: str | dict[str, Any] | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None


class SamplingFields(Wire):
    """vLLM's sampling parameters; None is the model's default."""

    model: str | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = Field(default=None, ge=-INT64, le=INT64 - 1)
    stop: str | list[str] | None = Field(default_factory=list)
    stop_token_ids: list[int] | None = Field(default_factory=list)
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: ZeroIfNull = 0
    skip_special_tokens: bool = True
    max_tokens: int | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    truncate_prompt_tokens: int | None = Field(default=None, ge=-1, le=INT64 - 1)
    truncation_side: Literal["left", "right"] | None = None
    logit_bias: dict[str, float] | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    use_beam_search: bool = False
    priority: Annotated[ZeroIfNull, Field(ge=-INT64, le=INT64 - 1)] = 0
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    user: str | None = None
