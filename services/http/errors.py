"""Errors to the wire: one mapping, in vLLM's form.

services.errors.RaglineError     its own status, type and param
what does not validate           400 "Bad Request": "N validation errors:\\n  {'type': ..., 'loc': 'body.x', ...}"
a body that is not read          400 "Bad Request": no UTF-8, or nested too deep; what is no JSON does not validate
unknown path, wrong method       {"detail": "Not Found"}, {"detail": "Method Not Allowed"}
anything else                    500, without a word of what happened inside
"""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.errors import RaglineError, error_body
from services.protocol import ErrorBody

MAX_ERRORS = 10
MAX_INPUT_CHARS = 200
MAX_ERROR_CHARS = 1000

_DOCUMENTED = (400, 401, 404, 408, 413, 429, 500, 501, 503)
RESPONSES: dict[int | str, dict[str, Any]] = {status: {"model": ErrorBody} for status in _DOCUMENTED}
"""For `include_router(responses=...)`: what any route of a service may answer besides 200."""

# pydantic writes the branch of a union into an error's place: a type's name, or an expression in brackets.
_BRANCH = re.compile(
    r"[\[\](){}]|^(str|int|float|bool|bytes|list|dict|tuple|set|none|nonetype|nullable|union|tagged-union)$",
    re.IGNORECASE,
)


class RequestShapeError(RequestValidationError):
    """A request that is wrong as a whole, reported like a field that does not validate."""

    def __init__(self, message: str) -> None:
        super().__init__([message])


class ErrorResponse(JSONResponse):
    """A message may quote the request, whose text may hold lone surrogates; UTF-8 has none of them."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def install(app: FastAPI) -> None:
    app.add_exception_handler(RaglineError, _ragline_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]


def _schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI without the 422 that FastAPI documents and that no route here answers."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes, servers=app.servers)
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            schema.get("components", {}).get("schemas", {}).pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema


def error_response(error: RaglineError) -> ErrorResponse:
    return ErrorResponse(error.body(), error.status, headers=error.headers)


def internal_error() -> dict[str, Any]:
    return error_body("The service failed on this request; its log says why.", "InternalServerError", None, 500)


async def _ragline_error(request: Request, exc: Exception) -> ErrorResponse:
    del request
    assert isinstance(exc, RaglineError)  # noqa: S101 - starlette's signature is wider than what it calls with
    return error_response(exc)


async def _validation_error(request: Request, exc: Exception) -> ErrorResponse:
    del request
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - as above
    errors = exc.errors()
    first = errors[0] if errors else None
    param = _place(first["loc"]) if isinstance(first, Mapping) and first.get("loc") else None
    return ErrorResponse(error_body(describe(errors), "Bad Request", param, 400), 400)


async def http_error(request: Request, exc: Exception) -> Response:
    """Starlette's own errors as ours."""
    del request
    assert isinstance(exc, HTTPException)  # noqa: S101 - as above
    kind = HTTPStatus(exc.status_code).phrase
    return ErrorResponse(error_body(str(exc.detail), kind, None, exc.status_code), exc.status_code, headers=exc.headers)


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101 - as above
    answer = http_error if exc.status_code == HTTPStatus.BAD_REQUEST else http_exception_handler
    return await answer(request, exc)


def describe(errors: Sequence[Any]) -> str:
    """At most MAX_ERRORS lines of bounded length, so that a small body cannot cause a large answer."""
    label = "error" if len(errors) == 1 else "errors"
    lines = [f"{len(errors)} validation {label}:", *(f"  {_line(e)}" for e in errors[:MAX_ERRORS])]
    if len(errors) > MAX_ERRORS:
        lines.append(f"  ...and {len(errors) - MAX_ERRORS} more {label}")
    return "\n".join(lines)


def _line(error: Any) -> str:
    if isinstance(error, Mapping):
        shown = {key: error[key] for key in ("type", "loc", "msg", "input", "ctx") if key in error}
        shown["loc"] = _place(error["loc"])
        if "input" in shown:
            shown["input"] = _brief(shown["input"])
        error = shown
    return _cut(str(error), MAX_ERROR_CHARS)


def _place(loc: Sequence[Any]) -> str:
    named = [str(part) for part in loc if not _BRANCH.search(str(part))]
    return ".".join(named or map(str, loc))


def _brief(value: object) -> str:
    if isinstance(value, list | tuple | set | dict):
        return f"<{type(value).__name__} of {len(value)} items>"
    if isinstance(value, bytes):
        return f"<bytes of {len(value)} bytes>"
    try:
        return _cut(str(value), MAX_INPUT_CHARS)
    except ValueError:  # an integer of more digits than Python prints
        return f"<{type(value).__name__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "...[truncated]"
