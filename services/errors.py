"""Every error that reaches a client of ragline, and its place on the wire.

    RaglineError                      500  InternalServerError
    ├── BadRequestError               400  the request is wrong; `param` names the field
    ├── UnauthorizedError             401
    ├── ForbiddenError                403
    ├── NotFoundError                 404
    ├── ConflictError                 409
    ├── TooLargeError                 413  a limit; the message names it
    ├── OverloadedError               429  the queue is full; Retry-After says when
    ├── EngineError                   500  the model failed; only the requests of that batch
    ├── UnsupportedError              501  the model or its engine cannot do it, whatever the request
    └── UnavailableError              503  a service is not there, or is draining
        └── DeadlineError             504  the request's time is up

The body is `{"error": {"message", "type", "param", "code"}}`, as vLLM and OpenAI write it.
"""

from typing import Any, ClassVar

MAX_RETRY_AFTER_S = 60
"""The largest Retry-After of a full queue."""


class RaglineError(Exception):
    """Base of all; `str(error)` is a sentence that a user can act on."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "InternalServerError"

    def __init__(self, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def body(self) -> dict[str, Any]:
        return error_body(str(self), self.type, self.param, self.status)


class BadRequestError(RaglineError):
    status = 400
    type = "BadRequestError"


class UnauthorizedError(RaglineError):
    status = 401
    type = "AuthenticationError"


class ForbiddenError(RaglineError):
    status = 403
    type = "PermissionDeniedError"


class NotFoundError(RaglineError):
    status = 404
    type = "NotFoundError"


class ConflictError(RaglineError):
    status = 409
    type = "ConflictError"


class TooLargeError(RaglineError):
    status = 413
    type = "RequestEntityTooLargeError"


class OverloadedError(RaglineError):
    status = 429
    type = "RateLimitError"


class EngineError(RaglineError):
    type = "EngineError"


class UnsupportedError(RaglineError):
    status = 501
    type = "NotImplementedError"


class UnavailableError(RaglineError):
    status = 503
    type = "ServiceUnavailableError"


class DeadlineError(UnavailableError):
    status = 504
    type = "DeadlineExceededError"


def error_body(message: str, error_type: str, param: str | None, code: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": error_type, "param": param, "code": code}}
