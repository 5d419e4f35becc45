"""POST /v1/systemone: typed questions about one state, answered with probabilities."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from services.protocol import INT64, RequestId, Wire, ZeroIfNull, now
from services.protocol.pooling import CacheSalt


class QuestionSpec(Wire):
    type: str
    instructions: Any = ""
    criteria: Any = None
    """noul: what `true` and `false` mean, or null; choice: option -> description or null; score: levels in order."""


class DecisionRequest(Wire):
    model: str | None = None
    state: Any
    """What the questions are about: text or JSON."""
    questions: dict[Annotated[str, Field(min_length=1)], QuestionSpec]
    instructions: str | None = None
    """The system's message."""
    images: list[str] | None = None
    audio: list[str] | None = None
    videos: list[str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    cache_salt: CacheSalt = None
    priority: Annotated[ZeroIfNull, Field(ge=-INT64, le=INT64 - 1)] = 0
    request_id: RequestId


class DecisionUsage(BaseModel):
    input_tokens: int
    output_tokens: int


class Diagnostics(BaseModel):
    label_mass: float
    """Probability of all labels together over the whole vocabulary."""
    argmax_is_label: bool


class Decision(BaseModel):
    id: str
    object: Literal["structured_decision"] = "structured_decision"
    created: int = Field(default_factory=now)
    model: str
    answers: dict[str, dict[str, Any]]
    usage: DecisionUsage
    diagnostics: dict[str, Diagnostics]
