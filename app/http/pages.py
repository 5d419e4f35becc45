"""The files of the chat page, with headers that forbid scripts and content from other origins."""

from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

PAGE = Path(__file__).parent.parent / "page"
PAGE_FILES = frozenset({"/", *(f"/{file.name}" for file in PAGE.glob("*.*"))})


class Page(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(page_headers())
        return response


def page_headers(base: str = "'none'") -> dict[str, str]:
    """`base`: where a <base> may lead."""
    policy = f"default-src 'self'; frame-ancestors 'none'; base-uri {base}; form-action 'self'"
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def is_page(path: str) -> bool:
    """Whether a path is of a page, which holds nothing of the documents."""
    return path in PAGE_FILES or (path.startswith("/documents/") and path.endswith("/view"))
