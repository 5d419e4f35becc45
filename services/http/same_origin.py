"""Refuses requests that other web sites' pages make a browser send here.

Such a request carries another `Origin` than its `Host`, or than the X-Forwarded-Host of a trusted proxy, and none of
`origins`. A `Host` that is neither loopback nor in `hosts` is a name that somebody else pointed at this machine (DNS
rebinding); what a proxy forwards does not replace it, since pages can write X-Forwarded-Host too.
"""

from collections.abc import Collection
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.errors import ForbiddenError
from services.http.api_key import is_loopback

_PROBED = ("/health", "/ping", "/metrics")
"""Probes and scrapers reach these by address, so any Host may ask for them."""


class SameOrigin:
    """ASGI middleware. Raises ForbiddenError."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        hosts: Collection[str] = (),
        setting: str = "hosts",
        origins: Collection[str] = (),
        proxies: Collection[str] = (),
        page_files: Collection[str] = (),
    ) -> None:
        """Accept loopback names and `hosts`; without hosts any name, unless `host` itself is loopback.

        `setting`: where hosts come from, for the refusal. `proxies`: addresses whose X-Forwarded-Host counts.
        `page_files`: paths whose GET any page may cause, since a browser that is shown the chat page asks for them.
        """
        self.app = app
        self._setting = setting
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._loopback_only = is_loopback(host)
        self._page_files = frozenset(page_files)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check_host(Headers(scope=scope).get("host", ""), scope["path"])
                if scope["method"] != "GET" or scope["path"] not in self._page_files:
                    self._check_origin(scope)
            except ValueError as exc:
                raise ForbiddenError("the Origin or the Host header of this request is not a valid address") from exc
        await self.app(scope, receive, send)

    def _check_origin(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if not (origin := headers.get("origin", "")):
            return
        names = {headers.get("host", "")}
        if scope.get("client") and any(ip_address(scope["client"][0]) in proxy for proxy in self._proxies):
            names.add(headers.get("x-forwarded-host", "").partition(",")[0].strip())
        if urlsplit(origin).netloc not in names - {""} and origin not in self._origins:
            raise ForbiddenError(
                f"requests from pages of {origin[:100]!r} are refused; use ragline's own page, or no browser. Behind a "
                "proxy: pass the Host header on, or name the page's address in server.origins"
            )

    def _check_host(self, host: str, path: str) -> None:
        name = urlsplit(f"//{host}").hostname or ""
        if is_loopback(name):
            return
        if self._hosts and name not in self._hosts and not path.startswith(_PROBED):
            known = " or ".join(sorted(self._hosts))
            raise ForbiddenError(f"{name[:100]!r} is not in {self._setting}: add it there, or use {known}")
        if self._loopback_only and not self._hosts and host:
            raise ForbiddenError(
                f"ragline serves on loopback only, and {host[:100]!r} is another name; use localhost or 127.0.0.1"
            )
