"""Who may use a server: the API key, and the addresses that need none."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address
from typing import Protocol

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.errors import BadRequestError, UnauthorizedError


class AddressSettings(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def api_key(self) -> SecretStr | None: ...
    @property
    def allow_insecure(self) -> bool: ...


def check_address(settings: AddressSettings) -> None:
    """Raises BadRequestError for a host that other machines can reach, unless there is a key or allow_insecure."""
    if settings.api_key or settings.allow_insecure or is_loopback(settings.host):
        return
    raise BadRequestError(
        f"host {settings.host} is reachable from other machines and api_key is empty; set it, or allow_insecure = true."
    )


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_probe(method: str, path: str) -> bool:
    """Health checks and metrics scrapers, which send no key."""
    del method
    return path in {"/health", "/ping", "/metrics"}


class ApiKeyMiddleware:
    """ASGI middleware. Raises UnauthorizedError unless the request has the key, or `is_public(method, path)`."""

    def __init__(
        self, app: ASGIApp, *, api_key: SecretStr | None, is_public: Callable[[str, str], bool] = is_probe
    ) -> None:
        self.app = app
        self._is_public = is_public
        key = api_key.get_secret_value() if api_key else ""
        self._digest = sha256(key.encode()).digest() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._digest and not self._is_public(scope["method"], scope["path"]):
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            matches = hmac.compare_digest(sha256(given.strip().encode()).digest(), self._digest)
            if not (matches and scheme.lower() == "bearer"):
                raise UnauthorizedError("send the service's API key as `Authorization: Bearer KEY`.")
        await self.app(scope, receive, send)
