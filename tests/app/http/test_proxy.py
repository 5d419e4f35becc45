"""Behind a proxy: with or without the Host passed on, below a path or not, and never for other sites' pages."""

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest

from app.settings import AppSettings
from services.errors import BadRequestError
from tests.app.http.test_server import answering, serving, settings_over
from tests.app.http.test_stream import listening
from tests.conftest import Stack, answers

pytestmark = pytest.mark.anyio
DEPLOY = Path(__file__).parents[3] / "deploy"
EVIL = "https://evil.example"


@contextmanager
def proxy(upstream: httpx2.URL, *, strips: str = "", passes_host: bool = False, tells: bool = False) -> Iterator[str]:
    """The address of a proxy that takes `strips` off the path, and passes or tells (X-Forwarded-Host) the Host."""

    class Forwards(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = dict(self.headers.items())
            host = headers.pop("Host")
            headers |= {"Host": host} if passes_host else {}
            headers |= {"X-Forwarded-Host": host} if tells else {}
            body = self.rfile.read(int(headers.pop("Content-Length", 0)))
            with httpx2.Client(base_url=upstream, timeout=60) as http:
                path = self.path.removeprefix(strips)
                answer = http.request(self.command, path, content=body, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST  # noqa: N815  http.server's names

    with answering(Forwards) as url:
        yield url


def asks_as_the_page_does(address: str, prefix: str) -> None:
    """Loads the page and what it names, and posts as a browser does, from this page and from another's."""
    with httpx2.Client(base_url=address, timeout=60) as http:
        page = http.get(f"{prefix}/")
        for name in re.findall(r'(?:href|src)="([^"]+)"', page.text):
            assert http.get(page.url.join(name)).status_code == 200, name
        script = http.get(page.url.join("api.js")).text
        assert not re.search(r"""(json|request|fetch)\(["`]/""", script), "the page asks at relative addresses"
        for path in ("search", "collections"):
            own = http.post(page.url.join(path), json={}, headers={"Origin": address})
            assert (own.status_code, own.json()["error"]["code"]) == (400, 400)
            assert http.post(page.url.join(path), json={}, headers={"Origin": EVIL}).status_code == 403


@pytest.mark.parametrize("strips", ["", "/rag"])
@pytest.mark.parametrize("way", ["host", "forwarded", "origins"])
async def test_the_page_works_behind_a_proxy(stack: Stack, tmp_path: Path, way: str, strips: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server: dict[str, Any] = {"root_path": "/rag", "port": port}
    if way == "forwarded":
        server["trusted_proxies"] = ["127.0.0.0/8"]
    upstream = httpx2.URL(f"http://127.0.0.1:{port}")
    with proxy(upstream, strips=strips, passes_host=way == "host", tells=way == "forwarded") as address:
        if way == "origins":
            server["origins"] = [address]
        async with listening(settings_over(stack, tmp_path, server=server)) as http:
            await anyio.to_thread.run_sync(asks_as_the_page_does, address, "/rag")
            assert (await http.get("/rag")).headers["location"] == "/rag/"
            assert (await http.get("/openapi.json")).json()["servers"] == [{"url": "/rag"}]


async def test_a_forwarded_host_counts_only_from_a_proxy_that_is_trusted(stack: Stack, tmp_path: Path) -> None:
    forged = {"Origin": EVIL, "X-Forwarded-Host": "evil.example"}
    async with serving(settings_over(stack, tmp_path, server={"trusted_proxies": ["10.0.0.0/8"]})) as http:
        assert (await http.post("/search", json={}, headers=forged)).status_code == 403
    async with serving(settings_over(stack, tmp_path, server={"trusted_proxies": ["127.0.0.1"]})) as http:
        rebound = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}
        assert (await http.get("/documents", headers=rebound)).status_code == 403


async def test_pages_of_allowed_origins_may_read_what_they_ask_for(stack: Stack, tmp_path: Path) -> None:
    origin = "https://intranet.example"
    settings = settings_over(stack, tmp_path, server={"origins": [origin], "api_key": "secret"})
    wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with serving(settings) as http:
        asked = await http.options("/ask", headers={"Origin": origin, **wish})
        evil = await http.options("/ask", headers={"Origin": EVIL, **wish})
        refused = await http.post("/ask", json={}, headers={"Origin": origin})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
    assert "access-control-allow-origin" not in evil.headers
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)


@pytest.mark.parametrize(
    "wrong",
    [{"origins": ["rag.example"]}, {"origins": ["https://rag.example/rag"]}, {"trusted_proxies": ["proxy"]}]
    + [{"root_path": path} for path in ("rag", "/rag/", "//evil.example")],
)
def test_a_setting_that_could_never_match_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match=f"RAGLINE_SERVER__{next(iter(wrong)).upper()}"):
        AppSettings.load(server=wrong)


async def test_other_methods_and_refusals_have_manners(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        for path in ("/", "/page.js", "/health/live", "/health/ready", "/documents", "/collections"):
            expected, got = await http.get(path), await http.head(path)
            assert got.status_code == expected.status_code
            assert got.headers["content-type"] == expected.headers["content-type"]
        for path, allowed in (("/ask", {"POST"}), ("/page.js", {"GET", "HEAD"}), ("/jobs/1", {"GET"})):
            wrong = await http.delete(path)
            assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, allowed)
            assert wrong.json()["error"]["code"] == 405
        assert (await http.post("/nope")).status_code == 404
        from_elsewhere = {"Origin": EVIL}
        assert (await http.get("/page.js", headers=from_elsewhere)).status_code == 200
        refused = await http.get("/documents", headers=from_elsewhere)
        assert refused.status_code == 403
        assert refused.headers["x-request-id"]
        assert 'status="403"' in (await http.get("/metrics")).text


def deployed(name: str, *changes: tuple[str, str]) -> str:
    """A snippet of deploy/, changed for a trial; each change must find its place."""
    text = (DEPLOY / name).read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_the_snippets_of_deploy_work(stack: Stack, tmp_path: Path, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"NO {name.upper()}: install it to test deploy/'s snippet")
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        port, upstream = first.getsockname()[1], second.getsockname()[1]
    if name == "nginx":
        tls = re.compile(r" *ssl_.*\n")
        site = tls.sub("", deployed("nginx.conf", ("443 ssl", f"127.0.0.1:{port}"), (":8000", f":{upstream}")))
        file = tmp_path / "nginx.conf"
        paths = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy"))
        more = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi"))
        http_block = f"http {{ access_log off; {paths}{more}\n{site}}}\n"
        file.write_text(f"pid {tmp_path}/pid; error_log {tmp_path}/log; daemon off; events {{}}\n{http_block}")
        command = ["nginx", "-c", str(file), "-e", str(tmp_path / "log")]
    else:
        file = tmp_path / "Caddyfile"
        options = "{\n\tadmin off\n\tauto_https off\n}\n"
        file.write_text(
            options + deployed("Caddyfile", ("rag.example {", f"http://127.0.0.1:{port} {{"), (":8000", f":{upstream}"))
        )
        command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    settings = settings_over(stack, tmp_path, server={"root_path": "/rag", "port": upstream})
    async with listening(settings):
        with (tmp_path / "out").open("w") as out:
            process = await anyio.open_process(command, stdout=out, stderr=out)
            try:
                with anyio.fail_after(30):
                    while not answers(port):
                        await anyio.sleep(0.05)
                await anyio.to_thread.run_sync(asks_as_the_page_does, f"http://127.0.0.1:{port}", "/rag")
            finally:
                process.terminate()
                await process.wait()
