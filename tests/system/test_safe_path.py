"""Files of the folder that ragline is started in are documents, never code: tests.conftest starts all in such a one."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.conftest import RAGLINE, Stack, files_run, hostile_folder


def test_the_files_are_run_where_the_folder_is_on_the_path(tmp_path: Path) -> None:
    """What the other tests look for is really left behind."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    subprocess.run([sys.executable, "-c", "import numpy"], cwd=hostile_folder(tmp_path), env=env, check=False)
    assert files_run(tmp_path) == ["numpy.py"]


def test_no_command_and_no_child_of_one_runs_them(stack: Stack) -> None:
    (stack.folder / "notes.html").write_text("<h1>Depot</h1><p>The depot at Elm Road opens at seven.</p>")
    indexed = stack.ragline("index", ".", "--collection", "hostile")
    assert indexed.returncode == 0, indexed.stdout + indexed.stderr
    answer = stack.ragline("ask", "When does the depot open?", "--collection", "hostile")
    assert "seven" in answer.stdout
    found = stack.ragline("search", "numpy.py", "--collection", "hostile")
    assert found.returncode == 0
    assert files_run(stack.folder) == []


def test_no_engine_or_grammar_check_runs_them(stack: Stack) -> None:
    """A grammar is compiled in a process of its own first."""
    body = {
        "messages": [{"role": "user", "content": "Yes or no?"}],
        "max_tokens": 4,
        "structured_outputs": {"regex": "(yes|no)"},
    }
    with httpx2.Client(base_url=stack.addresses["generate"], timeout=60) as http:
        reply = http.post("/v1/chat/completions", json=body).raise_for_status().json()
    assert reply["choices"][0]["message"]["content"] in ("yes", "no")
    assert files_run(stack.folder) == []


def test_a_command_by_itself_runs_none_of_them(tmp_path: Path) -> None:
    folder = hostile_folder(tmp_path)
    for arguments in (["--help"], ["models", "list"], ["serve", "--help"], ["index", "--help"], ["jobs", "--help"]):
        done = subprocess.run([RAGLINE, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert files_run(folder) == []
