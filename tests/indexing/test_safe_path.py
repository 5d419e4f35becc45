"""Python files among someone's documents are indexed, and never imported."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import HOSTILE, files_run, hostile_folder

ROOT = Path(__file__).parents[2]


def test_nothing_is_imported_from_the_folder_that_ragline_is_started_in(tmp_path: Path, embed_server) -> None:
    docs = hostile_folder(tmp_path / "docs")
    (docs / "bees.md").write_text("# Bees\n\nBees make honey.\n")
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "RAGLINE_DATA_DIR": str(tmp_path / "data"),
        "RAGLINE_EMBED__URL": embed_server.url, "RAGLINE_EMBED__MODEL": "hashed",
    }  # fmt: skip
    command = [sys.executable, "-P", "-m", "app", "index", "."]
    done = subprocess.run(command, env=env, cwd=docs, text=True, capture_output=True, timeout=60, check=False)
    assert files_run(docs) == []
    assert f"{len(HOSTILE) + 1} documents" in done.stdout, done.stderr
