"""The product as a user has it: `ragline up`, `index`, `ask`, and the HTTP API, over a small made corpus."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Stack

CORPUS = {
    "handbook.md": (
        "# Staff handbook\n\n## Holidays\n\nEmployees get 27 days of paid leave a year. Leave is requested two weeks "
        "ahead.\n\n"
        "## Travel\n\nTrains are booked in second class. Flights shorter than 600 km are not paid.\n"
    ),
    "pumps.txt": "Pump P-17 was replaced in March 2024 by Ana Ruiz. Its pressure limit is 8 bar.\n",
    "menu.csv": "dish,price\nlentil soup,4.50 euros\nfish stew,11.20 euros\n",
    "visit.html": (
        "<html><head><title>Visiting the lighthouse</title></head><body><article><h1>Visiting the lighthouse</h1>"
        "<p>The lighthouse on Skerry Point was built in 1862 by the engineer Thomas Leask. Visitors climb 132 steps "
        "to reach the lantern room. It is closed on Mondays.</p></article></body></html>"
    ),
}


@pytest.fixture(scope="module")
def corpus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, text in CORPUS.items():
        (folder / name).write_text(text)
    done = stack.ragline("index", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=stack.addresses["server"], timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("question", "source", "says"),
    [
        ("How many days of paid leave do employees get?", "handbook.md", "27"),
        ("Who replaced pump P-17?", "pumps.txt", "Ana Ruiz"),
        ("What does the fish stew cost?", "menu.csv", "11.20"),
        ("Who built the lighthouse on Skerry Point?", "visit.html", "Leask"),
        ("Are short flights paid?", "handbook.md", "600 km"),
    ],
)
def test_the_right_passage_is_cited(corpus: Path, http: httpx2.Client, question: str, source: str, says: str) -> None:
    answer = http.post("/ask", json={"question": question}).raise_for_status().json()
    assert answer["answered"]
    assert says in answer["answer"]
    assert answer["degraded"] == []
    cited = [citation for citation in answer["citations"] if citation["verified"]]
    assert cited
    assert all(citation["url"] == str(corpus / source) for citation in cited)
    assert answer["sources"][0]["url"] == str(corpus / source)
    for citation in cited:
        passage = answer["sources"][citation["index"] - 1]
        inside = passage["text"][citation["quote_start"] - passage["start"] : citation["quote_end"] - passage["start"]]
        assert inside == citation["quote"]
    assert {"embed", "search", "rerank", "generate", "total"} <= answer["timings_ms"].keys()


def test_what_is_not_in_the_documents_is_not_answered(corpus: Path, http: httpx2.Client) -> None:
    answer = http.post("/ask", json={"question": "What is the boiling point of tungsten?"}).json()
    assert (answer["answered"], answer["finish_reason"], answer["citations"]) == (False, "not_found", [])


def test_an_edited_document_changes_the_answer(stack: Stack, corpus: Path, http: httpx2.Client) -> None:
    file = corpus / "edited.md"
    question = {"question": "What is the door code of the archive?"}
    for code in ("4711", "9023"):
        file.write_text(f"# Archive\n\nThe door code of the archive is {code}.\n")
        assert stack.ragline("index", str(corpus)).returncode == 0
        answer = http.post("/ask", json=question).json()["answer"]
        assert code in answer
    assert "4711" not in answer
    file.unlink()
    assert stack.ragline("index", str(corpus), "--prune").returncode == 0
    assert not http.post("/ask", json=question).json()["answered"]


def test_a_stream_gives_sources_first_and_the_same_answer(corpus: Path, http: httpx2.Client) -> None:
    question = {"question": "Who replaced pump P-17?"}
    whole = http.post("/ask", json=question).json()
    with http.sse("/ask", method="POST", json={**question, "stream": True}) as events:
        received = [(event.event, json.loads(event.data)) for event in events if event.event != "status"]
    names = [name for name, _ in received]
    assert names[0] == "sources"
    assert names[-1] == "done"
    assert "".join(data["text"] for name, data in received if name == "delta") == whole["answer"]
    assert [data for name, data in received if name == "citation"] == whole["citations"]
    assert received[0][1]["sources"][0]["chunk_id"] == whole["sources"][0]["chunk_id"]


def test_ask_in_the_terminal(stack: Stack, corpus: Path) -> None:
    done = stack.ragline("ask", "Who replaced pump P-17?")
    assert done.returncode == 0, done.stderr
    assert "Ana Ruiz" in done.stdout
    assert str(corpus / "pumps.txt") in done.stdout
    as_json = json.loads(stack.ragline("ask", "Who replaced pump P-17?", "--json").stdout)
    assert "Ana Ruiz" in as_json["answer"]
    forms = {"quoted": "Quoted word for word.", "worded": "In the language model's own words."}
    assert forms[as_json["form"]] in done.stdout
    absent = stack.ragline("ask", "How are tomatoes fried in Portugal?").stdout
    said = ("The documents do not answer this question.", "In none of the sources: Portugal.", "The nearest passages:")
    places = [absent.find(each) for each in (*said, "[1]")]
    assert places == sorted(places)
    assert places[0] >= 0


def test_search_in_the_terminal(stack: Stack, corpus: Path) -> None:
    done = stack.ragline("search", "lantern room steps")
    assert str(corpus / "visit.html") in done.stdout.splitlines()[0]


def test_verify_in_the_terminal(stack: Stack, corpus: Path, tmp_path: Path) -> None:
    text = "Pump P-17 was replaced in March 2024. The lighthouse was not built in 1862. It is closed on Fridays."
    (tmp_path / "draft.txt").write_text(text)
    done = stack.ragline("verify", str(tmp_path / "draft.txt"))
    assert done.returncode == 0, done.stderr
    marks = [line[0] for line in done.stdout.splitlines() if line.startswith(("✓", "≈", "?", "✗"))]
    assert marks[:3] == ["✓", "✗", "?"]
    assert "pumps.txt" in done.stdout
    assert (
        json.loads(stack.ragline("verify", "-", "--json", stdin=text).stdout)["results"][1]["support"] == "contradicted"
    )
    assert "no such file" in stack.ragline("verify", str(tmp_path / "gone.txt")).stderr


def test_a_service_that_dies_is_started_again(stack: Stack, corpus: Path, http: httpx2.Client) -> None:
    """Meanwhile answers are degraded, and say so."""
    assert corpus
    children = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(stack.process.pid)], capture_output=True, text=True, check=True
    )
    score = next(int(line.split()[0]) for line in children.stdout.splitlines() if "--task score" in line)
    os.kill(score, signal.SIGKILL)
    anew = {"Cache-Control": "no-cache"}
    asked = {"question": "Who replaced pump P-17?"}
    answer = http.post("/ask", json=asked, headers=anew).raise_for_status().json()
    assert "rerank" in answer["degraded"]
    assert answer["sources"][0]["score_scale"] == "zscore"
    deadline = time.monotonic() + 60
    while http.get("/health/ready").json()["status"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert http.post("/ask", json=asked, headers=anew).json()["degraded"] == []


def test_what_is_kept_is_its_owners_alone(stack: Stack, corpus: Path, http: httpx2.Client) -> None:
    assert corpus
    http.post("/documents", files={"file": ("own.md", b"# Own\n\nNobody else reads this.")}).raise_for_status()
    kept = [path for path in stack.data_dir.rglob("*") if path.name != "up.log"]  # up.log is the tests' own
    assert {path.name for path in kept} >= {"run.json", "logs", "score.log", "store.sqlite3"}
    assert [str(path) for path in kept if path.exists() and path.stat().st_mode & 0o077] == []


def test_a_second_up_over_the_same_data_is_refused(stack: Stack) -> None:
    done = stack.ragline("up")
    assert done.returncode == 1
    assert stack.addresses["server"] in done.stderr


def test_without_a_server_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    env = {**os.environ, "RAGLINE_DATA_DIR": str(tmp_path), "RAGLINE_SERVER__PORT": "9"}
    done = subprocess.run(
        [sys.executable, "-m", "app", "ask", "x"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ragline up" in done.stderr
    assert "Traceback" not in done.stderr
