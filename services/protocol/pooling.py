"""Fields that embedding, scoring and classifying requests share; /pooling, /tokenize and /detokenize."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, ModelWrapValidatorHandler, model_validator

from services.errors import BadRequestError
from services.protocol import INT64, RequestId, Usage, Wire, ZeroIfNull, now

MAX_SALT_CHARS = 128

EncodingFormat = Literal["float", "base64", "bytes", "bytes_only"]
EmbedDtype = Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"]
Endianness = Literal["native", "big", "little"]
PoolingTask = Literal["embed", "classify", "token_embed", "token_classify", "plugin", "embed&token_classify"]
REMOVED_TASKS = {"score": "use `classify` instead.", "encode": "use `token_embed` or `token_classify` instead."}
Input = list[int] | list[list[int]] | str | list[str]


def _check_salt(salt: Any) -> Any:
    """Raises BadRequestError in vLLM's words, before any field is reported."""
    if salt is None:
        return salt
    if not isinstance(salt, str) or not salt:
        wrong = "a non-empty string if provided"
    elif len(salt) > MAX_SALT_CHARS or any(c in salt for c in "@/\\\x00"):
        wrong = f"at most {MAX_SALT_CHARS} characters and must not contain '@', '/', '\\\\', or NUL"
    else:
        return salt
    raise BadRequestError(f"Parameter 'cache_salt' must be {wrong}. (parameter=cache_salt)", param="cache_salt")


_Salt = Annotated[str, Field(min_length=1, max_length=MAX_SALT_CHARS)]
CacheSalt = Annotated[_Salt | None, BeforeValidator(_check_salt)]


class PoolingRequest(Wire):
    """Fields of every request to a model that does not generate."""

    model: str | None = None
    user: str | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    padding: Literal["max_length", "do_not_pad"] | None = None
    request_id: RequestId
    priority: Annotated[ZeroIfNull, Field(ge=-INT64, le=INT64 - 1)] = 0
    mm_processor_kwargs: dict[str, Any] | None = None
    cache_salt: CacheSalt = None
    use_activation: bool | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_first(cls, body: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(body, dict):
            cls.refuse(body)
        read = validate(body)
        refuse_priority(read.priority)
        if read.padding == "max_length":
            raise BadRequestError("padding is not supported: inputs are read at their own length.", param="padding")
        return read

    @classmethod
    def refuse(cls, body: dict[str, Any]) -> None:
        """Raises BadRequestError for values that no model here supports."""
        if body.get("mm_processor_kwargs"):
            raise BadRequestError(
                "mm_processor_kwargs is not supported: the model reads text.", param="mm_processor_kwargs"
            )


def refuse_priority(priority: int) -> None:
    """Raises BadRequestError for a priority, which would have no effect."""
    if priority:
        raise BadRequestError("Got priority, but priority scheduling is not enabled.", param="priority")


class InputRequest(PoolingRequest):
    """A request with inputs rather than pairs."""

    input: Input
    add_special_tokens: bool = True

    @classmethod
    def refuse(cls, body: dict[str, Any]) -> None:
        super().refuse(body)
        if "normalize" in body:
            raise BadRequestError(
                "Parameter `normalize` was removed; use `use_activation` instead. (parameter=normalize)",
                param="normalize",
            )
        task = body.get("task")
        if isinstance(task, str) and task in REMOVED_TASKS:
            raise BadRequestError(f"`{task}` task was removed; {REMOVED_TASKS[task]} (parameter=task)", param="task")


class ChatInputRequest(PoolingRequest):
    """A chat, which is refused: encoders have no chat template."""

    messages: list[dict[str, Any]]


class EncodedRequest(InputRequest):
    encoding_format: EncodingFormat = "float"
    embed_dtype: EmbedDtype = "float32"
    endianness: Endianness = "native"
    dimensions: int | None = None


class PoolingTaskRequest(EncodedRequest):
    task: PoolingTask | None = None


class PoolingDatum(BaseModel):
    index: int
    object: Literal["pooling"] = "pooling"
    data: list[float] | list[list[float]] | str


class PoolingResponse(BaseModel):
    id: str
    object: Literal["list"] = "list"
    created: int = Field(default_factory=now)
    model: str
    data: list[PoolingDatum]
    usage: Usage


class TokenizeRequest(Wire):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class TokenizeChatRequest(Wire):
    model: str | None = None
    messages: list[dict[str, Any]]


class TokenizeResponse(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(Wire):
    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0, le=INT64 - 1)]]


class DetokenizeResponse(BaseModel):
    prompt: str


class TokenizerInfo(BaseModel):
    tokenizer_class: str = "PreTrainedTokenizerFast"
    added_tokens_decoder: dict[int, str]
    """By id, the tokens that are found in a text before it is split: special ones, and the like of <tool_call>."""
