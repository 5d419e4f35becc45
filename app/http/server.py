"""The orchestrator's HTTP server: middleware, routes, and the chat page at /."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from app.http.metrics import AppMetrics
from app.http.orchestrator import open_orchestrator
from app.http.routes import ask, collections, documents, health
from app.http.same_origin import SameOrigin
from app.http.uploads import is_upload
from app.settings import AppSettings
from services import __version__
from services.http.admission import Admission, AdmissionMiddleware
from services.http.api_key import ApiKeyMiddleware, check_address
from services.http.errors import RESPONSES, http_error, install
from services.http.logs import configure
from services.http.request_log import RequestLogMiddleware

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent.parent / "page"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def create_app(settings: AppSettings, transport: httpx2.AsyncBaseTransport | None = None) -> FastAPI:
    """`transport` reaches the three services; None: the network."""
    metrics = AppMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_orchestrator(settings, metrics, transport) as orchestrator:
            app.state.orchestrator = orchestrator
            yield

    # no /docs: its page would load scripts from elsewhere
    app = FastAPI(title="ragline", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    install(app)
    app.add_exception_handler(HTTPException, http_error)  # unknown paths and methods in our error shape
    app.add_middleware(AdmissionMiddleware, admission=Admission(settings.server, metrics), streams=is_upload)
    app.add_middleware(ApiKeyMiddleware, api_key=settings.server.api_key, is_public=_is_public)
    app.add_middleware(RequestLogMiddleware, metrics=metrics)
    app.add_middleware(SameOrigin, host=settings.server.host, hosts=settings.server.hosts)
    app.include_router(health.router)
    for router in (ask.router, documents.router, collections.router):
        app.include_router(router, responses=RESPONSES)
    app.mount("/", Page(directory=PAGE, html=True), name="page")
    return app


class Page(StaticFiles):
    """Serves the chat page with headers that forbid scripts and content from other origins."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_PAGE_HEADERS)
        return response


def _is_public(method: str, path: str) -> bool:
    """Exempt probes, scrapers, and the chat page, which asks its user for the key."""
    return path.startswith("/health/") or path == "/metrics" or (method == "GET" and path in PAGE_FILES)


PAGE_FILES = frozenset({"/", *(f"/{file.name}" for file in PAGE.glob("*.*"))})


def serve(settings: AppSettings) -> None:
    """Serve until a signal. Raises BadRequestError for an address that is open to others without a key."""
    configure(settings)
    server = settings.server
    check_address(server)
    config = uvicorn.Config(
        create_app(settings),
        host=server.host,
        port=server.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(server.drain_s),
    )
    log.info("ragline at http://%s:%d", server.host, server.port)
    uvicorn.Server(config).run()
