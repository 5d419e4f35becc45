"""/mcp: the MCP server on the orchestrator, whose tools ask its own API, with its limits and its log."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from app.mcp import server_over
from app.settings import AppSettings

PATH = "/mcp"
METADATA = f"/.well-known/oauth-protected-resource{PATH}"


class Agents:
    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self._issuers = [str(issuer) for issuer in settings.server.oauth_issuers]
        self._address = settings.server.public_url.rstrip("/")
        key = settings.server.api_key
        self._http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else None,
            timeout=settings.ask.deadline_s + 5,
        )
        self._server = server_over(self._http)
        served = self._server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=True,
            json_response=True,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # SameOrigin does it
        )
        self.routes: Sequence[BaseRoute] = [*served.routes, Route(METADATA, self._metadata)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._http, self._server.session_manager.run():
            yield

    async def _metadata(self, request: Request) -> Response:
        """Say who gives tokens for /mcp (RFC 9728): a gateway that checks them stands before this server."""
        resource = f"{self._address or str(request.base_url).rstrip('/')}{PATH}"
        servers = {"authorization_servers": self._issuers} if self._issuers else {}
        return JSONResponse({"resource": resource, "bearer_methods_supported": ["header"], **servers})
