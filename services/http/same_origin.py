"""Refuses requests that other web sites' pages make a browser send here.

Such a request carries another `Origin`. A `Host` that is neither loopback nor in the setting `hosts` is a name that
somebody else pointed at this machine (DNS rebinding).
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.errors import ForbiddenError
from services.http.api_key import is_loopback
from services.http.errors import error_response

_PROBED = ("/health", "/ping", "/metrics")
"""Probes and scrapers reach these by address, so any Host may ask for them."""


class SameOrigin:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, host: str, hosts: Collection[str] = (), setting: str = "hosts") -> None:
        """Accept loopback names and `hosts`; without hosts any name, unless `host` itself is loopback.

        `setting`: where hosts come from, for the refusal.
        """
        self.app = app
        self._setting = setting
        self._hosts = frozenset(hosts)
        self._loopback_only = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if refusal := self._refusal(headers.get("host", ""), headers.get("origin", ""), scope["path"]):
                await error_response(ForbiddenError(refusal))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, host: str, origin: str, path: str) -> str:
        try:
            page, name = urlsplit(origin).netloc, urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return "the Origin or the Host header of this request is not a valid address"
        if origin and page != host:
            return f"requests from pages of {origin[:100]!r} are refused; use ragline's own page, or no browser"
        if is_loopback(name):
            return ""
        if self._hosts and name not in self._hosts and not path.startswith(_PROBED):
            return f"{name[:100]!r} is not in {self._setting}: add it there, or use {' or '.join(sorted(self._hosts))}"
        if self._loopback_only and not self._hosts and host:
            return f"ragline serves on loopback only, and {host[:100]!r} is another name; use localhost or 127.0.0.1"
        return ""
