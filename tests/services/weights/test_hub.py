"""Weights from a hub: the real hub library against a small server on 127.0.0.1 that speaks its endpoints."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("huggingface_hub")

ROOT = Path(__file__).parents[3]
COMMIT, NEXT_COMMIT = "5617a9f61b028005a4858fdac845db406aefb181", "b" * 40
WEIGHTS = random.Random(1).randbytes(8_000_000)
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "README.md": b"# a model",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"a pickle",
    "onnx/model.onnx": b"onnx",
    "modeling.py": b"1/0",
}
PULL = """
import json, sys
from pathlib import Path
from services.weights.sources import WeightsError
from services.weights.fetch import fetch_weights
told = []
try:
    print(fetch_weights(sys.argv[1], Path(sys.argv[2]), progress=lambda t: told.append((t.phase, t.done, t.total))))
except WeightsError as exc:
    print(f"WeightsError: {exc}")
print(json.dumps(told))
"""


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class Hub:
    """One repository, BAAI/bge-m3 at `commit` and at main, and how it behaves."""

    files: dict[str, bytes]
    commit: str = COMMIT
    error: tuple[int, str] | None = None
    """Status and X-Error-Code of every answer."""
    sha256: dict[str, str] = field(default_factory=dict)
    """What is told of a file in place of the truth."""
    delay_s: float = 0.0
    stalls: list[int] = field(default_factory=list)
    """Bytes after which each next connection of the weights says nothing more."""
    breaks: list[int] = field(default_factory=list)
    """Bytes after which each next connection of the weights is cut."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Files that were asked for, with the Range header."""
    tampered: bool = False
    """What is sent of config.json is not what is listed."""
    url: str = ""

    def tree(self) -> list[dict[str, object]]:
        return [self.entry(path, content) for path, content in self.files.items()]

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path.endswith((".safetensors", ".bin", ".onnx", ".gguf")):
            oid = self.sha256.get(path, hashlib.sha256(content).hexdigest())
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
        return entry


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.hub.error:
            self.answer(self.hub.error[0], b"", {"X-Error-Code": self.hub.error[1]})
        elif path.startswith("/api/models/BAAI/bge-m3/tree/"):
            self.answer(200, json.dumps(self.hub.tree()).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/api/models/BAAI/bge-m3/revision/"):
            body = {"id": "BAAI/bge-m3", "sha": self.hub.commit, "siblings": []}
            self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        elif name := re.fullmatch(rf"/BAAI/bge-m3/resolve/{self.hub.commit}/(.*)", path):
            self.file(name[1])
        else:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def file(self, name: str) -> None:
        content = self.hub.files[name]
        if self.hub.tampered and name == "config.json":
            content = b"[]"
        asked = self.headers.get("Range")
        if self.command == "GET":
            self.hub.asked.append((name, asked))
        begin = int(re.sub(r"\D", "", asked)) if asked else 0
        headers = {
            "X-Repo-Commit": self.hub.commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self.answer(206 if begin else 200, content[begin:], headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            if len(body) > 1 << 20 and self.hub.stalls:
                self.wfile.write(body[: self.hub.stalls.pop(0)])
                self.rfile.read(1)  # until the client gives the connection up
                self.close_connection = True
                return
            limit = self.hub.breaks.pop(0) if len(body) > 1 << 20 and self.hub.breaks else len(body)
            for at in range(0, limit, 1 << 20):
                self.wfile.write(body[at : min(at + (1 << 20), limit)])
                time.sleep(self.hub.delay_s)
        except ConnectionError:  # the client was killed
            limit = 0
        self.close_connection = limit < len(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub(dict(FILES))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": made}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def begin(hub: Hub, model: str, cache: Path, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    added = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(cache.parent / "hf"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PULL, model, str(cache)],
        env=kept | added | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pull(hub: Hub, model: str, cache: Path, **environment: str) -> tuple[str, list[list[object]]]:
    out, err = begin(hub, model, cache, **environment).communicate(timeout=60)
    lines = out.splitlines()
    assert len(lines) == 2, (out, err)
    return lines[0], json.loads(lines[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_preset_takes_its_files_at_its_revision(hub, tmp_path) -> None:
    place, told = pull(hub, "bge-m3", tmp_path / "cache")
    wanted = ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin")
    assert contents(Path(place)) == {name: FILES[name] for name in wanted}
    phases = [phase for phase, *_ in told]
    assert [phases[0], *phases[-2:]] == ["looking up", "verifying", "ready"]


def test_another_revision_is_kept_apart(hub, tmp_path) -> None:
    pinned, _ = pull(hub, "bge-m3", tmp_path / "cache")
    latest, _ = pull(hub, "hub:BAAI/bge-m3@main", tmp_path / "cache")
    assert Path(pinned).is_dir()
    assert Path(latest).is_dir()
    assert pinned != latest


def test_without_a_preset_one_format_of_weights_is_taken_and_never_code_or_pickles(hub, tmp_path) -> None:
    hub.files |= {"model.safetensors": b"tensors"}
    code = "from services.weights.hub import _chosen; from services.weights.sources import HubSource;"
    code += "import huggingface_hub as h;"
    code += "print(sorted(f.path for f in _chosen(HubSource('BAAI/bge-m3', 'main'), h.HfApi())))"
    for format_, expected in (
        ("model.safetensors", ["config.json", "model.safetensors", "tokenizer.json"]),
        ("onnx/model.onnx", ["config.json", "onnx/model.onnx", "tokenizer.json"]),
    ):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == str(expected)
        del hub.files[format_]


def test_bytes_are_told_while_they_arrive(hub, tmp_path) -> None:
    hub.delay_s = 0.05
    _, told = pull(hub, "bge-m3", tmp_path / "cache")
    total = sum(
        len(FILES[name]) for name in ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin")
    )
    arriving = [(done, of) for phase, done, of in told if phase == "downloading"]
    assert {of for _, of in arriving} == {total}
    assert any(0 < done < total for done, _ in arriving)


def test_a_broken_connection_is_resumed_where_it_broke(hub, tmp_path) -> None:
    hub.breaks = [3_000_000, 2_000_000]
    place, _ = pull(hub, "bge-m3", tmp_path / "cache")
    assert (Path(place) / "model.safetensors").read_bytes() == WEIGHTS
    asked = [asked for name, asked in hub.asked if name == "model.safetensors"]
    assert asked == [None, "bytes=3000000-", "bytes=5000000-"]


def test_a_stalled_connection_is_given_up_and_resumed(hub, tmp_path) -> None:
    hub.stalls = [3_000_000]
    place, _ = pull(hub, "bge-m3", tmp_path / "cache")
    assert (Path(place) / "model.safetensors").read_bytes() == WEIGHTS
    assert [asked for name, asked in hub.asked if name == "model.safetensors"] == [None, "bytes=3000000-"]


GGUF = {"README.md": b"#", "a-q4.gguf": b"GGUF4", "a-q8.gguf": b"GGUF8"}


def test_of_several_gguf_files_one_is_named_before_any_is_fetched(hub, tmp_path) -> None:
    hub.files = GGUF
    told = several(hub, tmp_path)
    assert "name one: hub:BAAI/bge-m3@main/a-q4.gguf, hub:BAAI/bge-m3@main/a-q8.gguf" in told
    assert hub.asked == []
    place, _ = pull(hub, "hub:BAAI/bge-m3@main/a-q8.gguf", tmp_path / "cache")
    assert contents(Path(place)) == {"a-q8.gguf": b"GGUF8"}
    assert [name for name, _ in hub.asked] == ["a-q8.gguf"]


def several(hub: Hub, place: Path) -> str:
    """What is said of a repository without a preset."""
    code = "from services.weights.hub import _chosen; from services.weights.sources import HubSource;"
    code += "import huggingface_hub as h; _chosen(HubSource('BAAI/bge-m3', 'main'), h.HfApi())"
    kept = os.environ | {"HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT), "HF_HOME": str(place)}
    return subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=False).stderr


def test_a_small_file_that_is_not_what_git_has_is_refused(hub, tmp_path) -> None:
    hub.tampered = True
    told, _ = pull(hub, "bge-m3", tmp_path / "cache")
    assert told.startswith("WeightsError: config.json of hub:BAAI/bge-m3 was fetched with git's sha1")
    assert not (tmp_path / "cache" / "hub").exists()


def kill_half_way(hub: Hub, model: str, cache: Path) -> None:
    hub.delay_s = 0.2
    process = begin(hub, model, cache)
    try:
        deadline = time.monotonic() + 30
        while not any(p.stat().st_size > 3_000_000 for p in (cache / "partial").rglob("model.safetensors.part")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    hub.delay_s = 0
    hub.asked.clear()


def test_a_killed_pull_leaves_nothing_that_is_taken_for_whole_and_is_resumed(hub, tmp_path) -> None:
    cache = tmp_path / "cache"
    kill_half_way(hub, "bge-m3", cache)
    assert not (cache / "hub").exists()
    place, _ = pull(hub, "bge-m3", cache)
    assert (Path(place) / "model.safetensors").read_bytes() == WEIGHTS
    resumed = dict(hub.asked)["model.safetensors"]
    assert resumed is not None
    assert int(re.sub(r"\D", "", resumed)) > 3_000_000
    assert contents(cache / "partial") == {}


def test_a_branch_that_moved_since_a_killed_pull_is_fetched_anew(hub, tmp_path) -> None:
    cache = tmp_path / "cache"
    kill_half_way(hub, "hub:BAAI/bge-m3@main", cache)
    hub.commit = NEXT_COMMIT
    hub.files |= {"config.json": b'{"new": 1}', "model.safetensors": WEIGHTS[::-1]}
    place, _ = pull(hub, "hub:BAAI/bge-m3@main", cache)
    wanted = ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin")
    assert contents(Path(place)) == {name: hub.files[name] for name in wanted}
    assert contents(cache / "partial") == {}


def test_a_file_with_another_hash_is_refused_and_thrown_away(hub, tmp_path) -> None:
    hub.sha256["model.safetensors"] = "0" * 64
    told, _ = pull(hub, "bge-m3", tmp_path / "cache")
    assert told.startswith("WeightsError: model.safetensors of hub:BAAI/bge-m3")
    assert not (tmp_path / "cache" / "hub").exists()
    assert not list((tmp_path / "cache").rglob("model.safetensors"))


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        ((403, "GatedRepo"), "set HF_TOKEN"),
        ((401, "RepoNotFound"), "HF_TOKEN"),
        ((404, "RevisionNotFound"), "no such revision"),
    ],
)
def test_refusals_tell_the_way_out(hub, tmp_path, error, way_out) -> None:
    hub.error = error
    told, _ = pull(hub, "bge-m3", tmp_path / "cache")
    assert told.startswith("WeightsError: hub:BAAI/bge-m3@5617a9f")
    assert way_out in told


def test_a_hub_that_may_not_be_asked_is_told_with_the_way_out(hub, tmp_path) -> None:
    told, _ = pull(hub, "bge-m3", tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert told.startswith("WeightsError: hub:BAAI/bge-m3@5617a9f")
    assert "Check the network and HF_ENDPOINT" in told


def test_a_repository_larger_than_the_disk_is_not_begun(hub, tmp_path) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 10**15

    hub.files["model.safetensors"] = Huge(b"x")
    told, _ = pull(hub, "bge-m3", tmp_path / "cache")
    assert "no room for hub:BAAI/bge-m3" in told
    assert hub.asked == []


def test_two_processes_fetch_once(hub, tmp_path) -> None:
    hub.delay_s = 0.02
    both = [begin(hub, "bge-m3", tmp_path / "cache") for _ in range(2)]
    places = [process.communicate(timeout=60)[0].splitlines()[0] for process in both]
    assert places[0] == places[1]
    assert [name for name, _ in hub.asked].count("model.safetensors") == 1
