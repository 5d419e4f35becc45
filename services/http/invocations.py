"""SageMaker's single route, /invocations: the body's fields choose the route that answers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError

from services.errors import BadRequestError

Handler = Callable[[Request, Any], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Invocation:
    name: str
    shape: TypeAdapter[Any]
    handle: Handler


def invocations_router(invocations: Sequence[Invocation]) -> APIRouter:
    """Tries the shapes in order."""
    router = APIRouter()

    @router.post("/invocations")
    async def invoke(request: Request, body: dict[str, Any]) -> Response:
        for invocation in invocations:
            try:
                parsed = invocation.shape.validate_python(body)
            except ValidationError:
                continue
            return await invocation.handle(request, parsed)
        known = ", ".join(invocation.name for invocation in invocations)
        raise BadRequestError(f"Cannot find suitable handler for request. Expected one of: {known}")

    return router
