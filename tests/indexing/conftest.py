"""A small embedding service on 127.0.0.1: real HTTP, vectors by hashing words, and faults on request."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexing.settings import MilvusSettings
from indexing.store.interface import Stores
from indexing.store.local import LocalStores
from services.client import EmbedClient
from services.settings import EndpointSettings

DIMENSION = 32


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class EmbedServer:
    """Counts what it is asked to embed. Texts that contain "poison" are refused, and "crash" is a 500.

    `fault` is what it answers instead: one of FAULTS.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.requests: list[int] = []
        self.tokenizer: str | None = None
        self.down = False
        self.fault = ""
        self.faults = 0
        """Answers with `fault` so far."""
        self.closing = threading.Event()
        self.delay_s = 0.0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/v1/models":
                    self._answer(200, {"data": [{"id": "hashed", "max_model_len": 512}]})
                elif server.tokenizer is not None:
                    self._answer(200, json.loads(server.tokenizer))
                else:
                    self._answer(404, {"error": {"message": "no tokenizer"}})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if server.fault == "hang":
                    server.faults += 1
                    server.closing.wait()
                else:
                    self._answer(*server.embed(body["input"]))

            def _answer(self, status: int, body: Any) -> None:
                payload = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def embed(self, texts: list[str]) -> tuple[int, Any]:
        """The status and body of an answer."""
        if self.fault:
            self.faults += 1
            return FAULTS[self.fault](texts)
        if self.down:
            return 503, {"error": {"message": "starting"}}
        if any("crash" in text for text in texts):
            return 500, {"error": {"message": "secret words of the service"}}
        if any("poison" in text for text in texts):
            return 400, {"error": {"message": "this text is refused"}}
        self.texts += texts
        self.requests.append(len(texts))
        time.sleep(self.delay_s)
        return 200, {"object": "list", "model": "hashed", "data": _embedded(texts)}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def client(self) -> EmbedClient:
        return EmbedClient(EndpointSettings(url=self.url, model="hashed", timeout_s=10))

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def hashed_vector(text: str) -> np.ndarray:
    """A bag of hashed words: texts that share words are near."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    for word in text.lower().split():
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSION] += 1
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _embedded(texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"object": "embedding", "index": i, "embedding": base64.b64encode(hashed_vector(text).tobytes()).decode()}
        for i, text in enumerate(texts)
    ]


FAULTS: dict[str, Callable[[list[str]], tuple[int, Any]]] = {
    "too few": lambda texts: (200, {"object": "list", "model": "hashed", "data": _embedded(texts)[1:]}),
    "too many": lambda texts: (200, {"object": "list", "model": "hashed", "data": _embedded([*texts, "one more"])}),
    "another dimension": lambda texts: (
        200,
        {"object": "list", "model": "hashed", "data": [{**each, "embedding": [1.0] * 8} for each in _embedded(texts)]},
    ),
    "HTML": lambda _: (200, b"<html>Welcome to the captive portal</html>"),
    "null": lambda _: (200, b"null"),
    "500": lambda _: (500, {"error": {"message": "CUDA error"}}),
    "503": lambda _: (503, {"error": {"message": "starting"}}),
    "401": lambda _: (401, {"error": {"message": "no key"}}),
}


@pytest.fixture
def embed_server() -> Iterator[EmbedServer]:
    server = EmbedServer()
    yield server
    server.close()


PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/": (200, {"Content-Type": "text/html; charset=utf-8"}, b"<h1>Bees</h1><p>They make honey.</p>"),
    "/guide.md": (200, {"Content-Type": "text/markdown"}, b"# Guide"),
    "/zurich": (200, {"Content-Type": "text/plain; charset=ISO-8859-1"}, "“Zürich”".encode("cp1252")),
    "/greek": (
        200, {"Content-Type": "text/html; charset=cp1253"}, "<meta charset=cp1251><p>Καλημέρα</p>".encode("cp1253"),
    ),
    "/wrong": (200, {"Content-Type": "text/plain; charset=utf-32"}, "“Zürich”".encode("cp1252")),
    "/there": (302, {"Location": "/guide.md"}, b""),
    "/loop": (302, {"Location": "/loop"}, b""),
    "/metadata": (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/nowhere": (302, {"Location": "http://[/x"}, b""),
    "/large": (200, {}, b"x" * 5000),
    "/missing": (404, {}, b""),
}  # fmt: skip


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/slow":
                time.sleep(2)
            status, headers, body = PAGES.get(self.path, PAGES["/missing"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """A Milvus in a file."""
    pytest.importorskip("milvus_lite", reason="the Milvus store is not tested: pip install -r requirements/milvus.txt")
    from indexing.store.milvus import MilvusStores  # noqa: PLC0415

    data_dir: Path = tmp_path_factory.mktemp("milvus")
    stores = MilvusStores(MilvusSettings(uri=str(data_dir / "lite.db")), data_dir)
    yield stores
    stores.close()


@pytest.fixture(params=["local", "milvus"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """An empty place for collections, of each kind that there is."""
    if request.param == "local":
        yield LocalStores(tmp_path)
        return
    place: Stores = request.getfixturevalue("milvus_lite")
    yield place
    for name in place.names():
        place.drop(name)
