"""The orchestrator's HTTP server: middleware, routes, and the chat page at /."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.agents import METADATA, Agents
from app.http.bulkheads import Bulkheads
from app.http.metrics import AppMetrics
from app.http.openai import chat, embeddings, files, responses, vector_stores
from app.http.orchestrator import open_orchestrator
from app.http.pages import PAGE, PAGE_FILES, Page, is_page
from app.http.routes import ask, collections, documents, health, reading, similar, verify
from app.settings import AppSettings
from services import __version__
from services.addresses import http_url
from services.http.admission import AdmissionMiddleware
from services.http.api_key import ApiKeyMiddleware, check_address
from services.http.errors import RESPONSES, http_error, install
from services.http.logs import configure
from services.http.request_log import RequestLogMiddleware
from services.http.same_origin import SameOrigin
from services.http.server import KEEP_ALIVE_S

log = logging.getLogger(__name__)


def create_app(settings: AppSettings, transport: httpx2.AsyncBaseTransport | None = None) -> FastAPI:
    """`transport` reaches the three services; None: the network."""
    metrics = AppMetrics()
    bulkheads = Bulkheads(settings.server, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_orchestrator(settings, metrics, bulkheads, transport) as orchestrator, agents.running():
            app.state.orchestrator = orchestrator
            yield

    server = settings.server
    app = FastAPI(
        title="ragline",
        version=__version__,
        lifespan=lifespan,
        servers=[{"url": server.root_path or "/"}],
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    install(app)
    app.add_exception_handler(HTTPException, http_error)  # unknown paths and methods in our error shape
    app.add_middleware(AdmissionMiddleware, admission_of=bulkheads.of)
    app.add_middleware(ApiKeyMiddleware, api_key=server.api_key, is_public=_is_public)
    app.add_middleware(
        SameOrigin,
        host=server.host,
        hosts=server.hosts,
        setting="server.hosts",
        origins=server.origins,
        proxies=server.trusted_proxies,
        page_files=PAGE_FILES,
    )
    app.add_middleware(RequestLogMiddleware, metrics=metrics)
    if server.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=server.origins,
            allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    app.add_middleware(RequestLine, root_path=server.root_path)
    app.include_router(health.router)
    for routes in (
        ask,
        verify,
        reading,
        similar,
        documents,
        collections,
        chat,
        responses,
        files,
        vector_stores,
        embeddings,
    ):
        app.include_router(routes.router, responses=RESPONSES)
    agents = Agents(app, settings)
    app.router.routes.extend(agents.routes)
    page = Page(directory=PAGE, html=True)
    for path in PAGE_FILES:
        app.add_route(path, page, include_in_schema=False)  # type: ignore[arg-type]  # an ASGI app serves as well
    return app


class RequestLine:
    """ASGI middleware that takes `root_path` off the path, where the proxy did not, and answers HEAD as GET.

    The server leaves the body of an answer to HEAD out.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self._root_path and scope["path"] == self._root_path:  # the page's own addresses are relative
                await RedirectResponse(f"{self._root_path}/", 308)(scope, receive, send)
                return
            path = scope["path"]
            if self._root_path and path.startswith(f"{self._root_path}/"):
                path = path.removeprefix(self._root_path)
            scope = {**scope, "path": path, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        await self.app(scope, receive, send)


def _is_public(method: str, path: str) -> bool:
    """Exempt probes, scrapers, and the pages, which ask their user for the key."""
    return path.startswith("/health/") or path in ("/metrics", METADATA) or (method == "GET" and is_page(path))


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
        proxy_headers=False,  # SameOrigin reads the one that matters, from proxies that are trusted
        timeout_graceful_shutdown=int(server.drain_s),
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    log.info("ragline at %s", http_url(server.host, server.port))
    uvicorn.Server(config).run()
