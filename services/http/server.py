"""The HTTP side that the three services share: a service is its routes, its backend and its model's card.

create_app(service, settings) -> FastAPI      the routes of all services, and the service's own
run(app) -> int                               serve until SIGTERM, drain, and say whether it ended well
"""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from services import __version__
from services.errors import EngineError, NotFoundError, RaglineError, UnavailableError
from services.http import paths  # noqa: F401 - the addresses' {name:id}
from services.http.admission import Admission, AdmissionMiddleware, Limits
from services.http.api_key import ApiKeyMiddleware, check_address
from services.http.errors import RESPONSES, RequestShapeError, install
from services.http.metrics import Metrics
from services.http.request_log import RequestLogMiddleware
from services.http.same_origin import SameOrigin
from services.protocol import ErrorBody, Load, ModelEntry, ModelList, Version, now
from services.settings import ServiceSettings

log = logging.getLogger(__name__)

CHECK_AFTER_S = 30.0
"""A backend that ran a forward this recently is healthy without a check."""
CHECK_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 120
"""How long an idle connection stays: longer than clients and proxies keep theirs (Go 90 s, nginx and AWS 60 s)."""
WATCH_S = 0.5
"""Interval at which a running server checks that its engine lives."""


class Backend(Protocol):
    """A model with the queue in front of it."""

    @property
    def dead(self) -> str | None:
        """Why the engine is dead; None while it lives."""

    @property
    def last_forward(self) -> float:
        """time.monotonic() of the last successful forward."""

    async def start(self) -> None: ...

    async def check(self) -> None:
        """Runs a small forward. Raises EngineError."""

    async def stop(self) -> None:
        """Frees threads and memory; waiting requests fail with UnavailableError."""


@dataclass(frozen=True, slots=True)
class Service:
    title: str
    model_name: str
    root: str
    """The folder that the weights came from."""
    max_model_len: int
    backend: Backend
    routers: Sequence[APIRouter]
    metrics: Metrics
    card: dict[str, Any] = field(default_factory=dict)
    """More fields of the model's entry in /v1/models."""

    def check_model(self, name: str | None, *, aliases: bool = False) -> None:
        """Raises NotFoundError for a model that is not the served one; some routes list the aliases, as vLLM does."""
        if name and name != self.model_name:
            known = f" Valid aliases: {self.model_name}." if aliases else ""
            raise NotFoundError(f"The model `{name}` does not exist.{known}", param="model" if aliases else None)


def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def response_id(prefix: str, request: Request, given: str | None = None) -> str:
    """`prefix-ID`: the X-Request-Id header's, else the one in the body, else the one that RequestLogMiddleware made."""
    header: str = request.state.request_id
    return f"{prefix}-{header if given is None or 'x-request-id' in request.headers else given}"


def list_head(prefix: str, request: Request, request_id: str) -> dict[str, Any]:
    """The first fields of an answer that is a list: id, object, created, model."""
    model = get_service(request).model_name
    return {"id": response_id(prefix, request, request_id), "object": "list", "created": now(), "model": model}


def create_app(service: Service, settings: ServiceSettings) -> FastAPI:
    """The app; `app.state.service`, `.settings` and `.admission` are there for `run`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        await service.backend.start()
        yield
        await service.backend.stop()

    app = FastAPI(title=service.title, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service, app.state.settings = service, settings
    limits = Limits(settings.max_concurrent, settings.max_body_bytes)
    app.state.admission = admission = Admission(service.metrics, limits)
    install(app)
    app.add_middleware(AdmissionMiddleware, admission_of=lambda _method, _path: admission)
    app.add_middleware(ApiKeyMiddleware, api_key=settings.api_key)
    app.add_middleware(SameOrigin, host=settings.host, hosts=settings.hosts)
    app.add_middleware(RequestLogMiddleware, metrics=service.metrics)  # the last one added is the outermost
    app.include_router(_common_routes(service, admission))
    for router in service.routers:
        app.include_router(router, dependencies=[Depends(json_only)], responses=RESPONSES)
    return app


async def json_only(request: Request) -> None:
    """Raises RequestShapeError for another media type: 400 as in vLLM, not 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and media_type != "application/json":
        raise RequestShapeError("Unsupported Media Type: Only 'application/json' is allowed")


def _common_routes(service: Service, admission: Admission) -> APIRouter:
    router = APIRouter(responses={401: RESPONSES[401]})

    @router.get("/health", response_class=Response, responses={503: {"model": ErrorBody}})
    async def health() -> Response:
        """200 if the engine works; runs a small forward if the last one is old."""
        await _check(service.backend, admission)
        return Response()

    @router.api_route("/ping", methods=["GET", "POST"], response_class=Response, responses={503: {"model": ErrorBody}})
    async def ping() -> Response:
        await _check(service.backend, admission)
        return Response()

    @router.get("/version")
    async def version() -> Version:
        return Version(version=__version__)

    @router.get("/load")
    async def load() -> Load:
        return Load(server_load=admission.in_flight)

    def entry() -> ModelEntry:
        return ModelEntry(id=service.model_name, root=service.root, max_model_len=service.max_model_len, **service.card)

    @router.get("/v1/models")
    @router.get("/openai/v1/models")  # KServe's
    async def models() -> ModelList:
        return ModelList(data=[entry()])

    @router.get("/v1/models/{name:id}", responses={404: {"model": ErrorBody}})
    async def model(name: str) -> ModelEntry:
        service.check_model(name, aliases=True)
        return entry()

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return PlainTextResponse(service.metrics.exposition(), media_type="text/plain; version=0.0.4")

    return router


async def _check(backend: Backend, admission: Admission) -> None:
    if admission.draining:
        raise UnavailableError("the service is shutting down.", retry_after=5)
    if backend.dead is not None:
        raise UnavailableError(f"the engine is dead: {backend.dead}")
    if time.monotonic() - backend.last_forward < CHECK_AFTER_S:
        return
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await backend.check()
    except TimeoutError as exc:
        raise UnavailableError(f"the engine did not finish a forward within {CHECK_TIMEOUT_S:.0f} s") from exc
    except RaglineError as exc:
        raise UnavailableError(f"the engine fails: {exc}") from exc


class _Server(uvicorn.Server):
    """uvicorn, except that the first signal drains before it stops, and that a dead engine stops it."""

    def __init__(self, app: FastAPI) -> None:
        settings: ServiceSettings = app.state.settings
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        self._admission: Admission = app.state.admission
        self._backend: Backend = app.state.service.backend
        self._drain_s = settings.drain_s
        self._stopping = asyncio.Event()
        self._died: str | None = None

    async def serve_until_stopped(self) -> None:
        """Raises EngineError where the engine died."""
        watcher = asyncio.create_task(self._watch())
        await self.serve()
        watcher.cancel()
        if self._died is not None:
            raise EngineError(f"the engine died: {self._died}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        if self._stopping.is_set():
            self.should_exit = self.force_exit = True
        log.info("%s: draining for up to %.0f s", signal.Signals(sig).name, self._drain_s)
        asyncio.get_running_loop().call_soon_threadsafe(self._stopping.set)

    async def _watch(self) -> None:
        """Ends the server after a drain that a signal asked for, or at once when the engine is dead."""
        while not self._stopping.is_set() and self._died is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._stopping.wait()
            self._died = self._backend.dead
        if self._died is None and not await self._admission.drain(self._drain_s):
            log.warning("%d requests are cut off after %.0f s", self._admission.in_flight, self._drain_s)
        self.should_exit = True


def run(app: FastAPI) -> int:
    """Serve until a signal; 0 after a clean end, 1 when the engine died. Raises BadRequestError for an open address."""
    check_address(app.state.settings)
    server = _Server(app)
    try:
        asyncio.run(server.serve_until_stopped())
    except EngineError as exc:
        log.critical("%s", exc)
        return 1
    return 0 if server.started else 1
