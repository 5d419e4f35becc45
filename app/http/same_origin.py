"""Other web sites' pages stay out: a browser on this machine must not be led to read or change what ragline holds.

A page elsewhere can make a browser send requests to loopback. Its `Origin` is not ours, so it is refused; and a `Host`
by which nobody should reach ragline is a name that was pointed here (DNS rebinding).
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.errors import ForbiddenError
from services.http.errors import answer_of
from services.http.gate import is_loopback

_PROBED = ("/health/", "/metrics")
"""Asked by address, by whoever watches over many processes."""


class SameOrigin:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, host: str, hosts: Collection[str] = ()) -> None:
        """hosts: names that are ours beside loopback's; without any, those alone where `host` is one of them."""
        self.app = app
        self._hosts = frozenset(hosts)
        self._loopback_only = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if refusal := self._refusal(headers.get("host", ""), headers.get("origin", ""), scope["path"]):
                await answer_of(ForbiddenError(refusal))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, host: str, origin: str, path: str) -> str:
        try:
            page, name = urlsplit(origin).netloc, urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return "the Origin or the Host of this request is no address"
        if origin and page != host:
            return f"requests from pages of {origin[:100]!r} are refused; use ragline's own page, or no browser"
        if is_loopback(name):
            return ""
        if self._hosts and name not in self._hosts and not path.startswith(_PROBED):
            return f"the host {name[:100]!r} is not in server.hosts ({', '.join(sorted(self._hosts))}): add it there"
        if self._loopback_only and not self._hosts and host:
            return f"ragline serves on loopback only, and {host[:100]!r} is another name; use localhost or 127.0.0.1"
        return ""
