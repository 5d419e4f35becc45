"""The commands as a user runs them: their own process, its output and its exit status."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUN = (
    "import sys; from indexing.cli import index, jobs; from services.errors import RaglineError\n"
    "try: {'index': index, 'jobs': jobs}[sys.argv.pop(1)]()\n"
    "except RaglineError as exc: sys.exit(f'ragline: {exc}')"
)


@pytest.fixture
def environment(tmp_path: Path, embed_server) -> dict[str, str]:
    own = {"RAGLINE_DATA_DIR": str(tmp_path / "data"), "RAGLINE_EMBED__URL": embed_server.url}
    return {**os.environ, **own, "RAGLINE_EMBED__MODEL": "hashed", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "bees.md").write_text("# Bees\n\nBees make honey.\n")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4 broken")
    return folder


def ragline(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=ROOT, text=True, capture_output=True, timeout=60, check=False)


def test_index_says_what_it_did_and_what_failed(environment, docs) -> None:
    done = ragline(environment, "index", docs)
    assert done.returncode == 0, done.stderr
    assert "1 document (1 chunk) indexed" in done.stdout
    assert f"{docs}/scan.pdf: broken PDF" in done.stdout
    again = ragline(environment, "index", docs)
    assert "0 documents (0 chunks) indexed, 1 unchanged" in again.stdout


def test_json_report_and_exit_status_when_nothing_could_be_indexed(environment, docs) -> None:
    done = ragline(environment, "index", docs / "scan.pdf", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["failures"] == [{"source": str(docs / "scan.pdf"), "reason": "broken PDF: it cannot be opened"}]


def test_jobs_list_show_and_retry_only_what_failed(environment, docs) -> None:
    job = json.loads(ragline(environment, "index", docs, "--json").stdout)["job"]
    assert job[:12] in ragline(environment, "jobs").stdout
    assert "scan.pdf: broken PDF" in ragline(environment, "jobs", "show", job[:8]).stdout
    (docs / "scan.pdf").write_text("mended, and plain text by now")
    (docs / "bees.md").write_text("# Bees\n\nEdited, but not in this job's failures.\n")
    retried = ragline(environment, "jobs", "retry", job, "--json")
    assert json.loads(retried.stdout)["documents"] == 1
    assert "no job 'nonsense'" in ragline(environment, "jobs", "show", "nonsense").stderr


def test_retry_passes_over_what_is_gone_by_now(environment, docs) -> None:
    (docs / "old").mkdir()
    (docs / "old/scan.pdf").write_bytes(b"%PDF-1.4 broken")
    job = json.loads(ragline(environment, "index", docs, "--json").stdout)["job"]
    shutil.rmtree(docs / "old")
    (docs / "scan.pdf").write_text("mended, and plain text by now")
    retried = ragline(environment, "jobs", "retry", job, "--json")
    assert retried.returncode == 0, retried.stderr
    assert json.loads(retried.stdout)["documents"] == 1


def test_a_service_that_does_not_run_is_named_with_the_way_out(environment, docs) -> None:
    done = ragline({**environment, "RAGLINE_EMBED__URL": "http://127.0.0.1:9"}, "index", docs)
    assert done.returncode == 1
    assert done.stderr == "ragline: the embed service cannot be reached; start it with `ragline up`, or set embed.url\n"


def test_wrong_paths_and_collections_are_one_line(environment, docs) -> None:
    assert "nothing at /no/such" in ragline(environment, "index", "/no/such/folder").stderr
    too_long = ragline(environment, "index", docs / ("x" * 300))
    assert too_long.stderr == f"ragline: {docs / ('x' * 300)} cannot be looked at: File name too long\n"
    ragline(environment, "index", docs, "--collection", "mine")
    unknown = ragline(environment, "index", "info")  # the wrong paths have made none
    assert "there is no collection 'default'" in unknown.stderr
    assert "The collections are: mine" in unknown.stderr
    assert "'Bad Name' is not a name" in ragline(environment, "index", docs, "--collection", "Bad Name").stderr


def test_interrupt_keeps_what_is_committed_and_says_how_to_go_on(environment, docs, embed_server) -> None:
    lines = (json.dumps({"_id": str(i), "text": f"Sentence {i} is here."}) for i in range(3000))
    (docs / "many.jsonl").write_text("\n".join(lines))
    embed_server.delay_s = 0.1
    command = [sys.executable, "-c", RUN, "index", str(docs)]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    while len(embed_server.requests) < 10:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped. What was indexed so far is kept" in output
    embed_server.delay_s = 0.0
    report = json.loads(ragline(environment, "index", docs, "--json").stdout)
    assert report["unchanged"] > 0
    assert report["unchanged"] + report["documents"] == 3001


@pytest.mark.slow
def test_a_build_that_is_killed_is_no_job_that_runs(environment, docs, embed_server) -> None:
    lines = (json.dumps({"_id": str(i), "text": f"Sentence {i} is here."}) for i in range(3000))
    (docs / "many.jsonl").write_text("\n".join(lines))
    embed_server.delay_s = 0.1
    process = subprocess.Popen([sys.executable, "-c", RUN, "index", str(docs)], env=environment, cwd=ROOT)
    while len(embed_server.requests) < 10:
        time.sleep(0.05)
    (running,) = json.loads(ragline(environment, "jobs", "--json").stdout)
    process.kill()
    process.wait()
    (killed,) = json.loads(ragline(environment, "jobs", "--json").stdout)
    assert (running["state"], killed["state"], killed["id"]) == ("running", "failed", running["id"])
    assert "interrupted; the same command" in ragline(environment, "jobs", "show", killed["id"]).stdout
    embed_server.delay_s = 0.0
    data_dir = Path(environment["RAGLINE_DATA_DIR"])
    assert list(data_dir.rglob("lock.job-*"))
    ragline(environment, "index", docs)
    assert not list(data_dir.rglob("lock.job-*"))
    done, before = json.loads(ragline(environment, "jobs", "--json").stdout)
    assert (done["state"], before["state"]) == ("done", "failed")


def test_care_of_a_collection(environment, docs, tmp_path) -> None:
    ragline(environment, "index", docs)
    info = json.loads(ragline(environment, "index", "info", "--json").stdout)
    assert (info["documents"], info["manifest"]["embedding_model"]) == (1, "hashed")
    assert info["readers"] == {"text 2": 1}
    assert "\ntext 2: 1 document\n" in ragline(environment, "index", "info").stdout
    assert "1 unchanged" in ragline(environment, "index", docs, "--reread").stdout
    assert "is sound" in ragline(environment, "index", "verify").stdout
    assert "is sound" in ragline(environment, "index", "repair").stdout
    assert "bytes before" in ragline(environment, "index", "compact").stdout
    assert ragline(environment, "index", "snapshot", tmp_path / "copy").returncode == 0
    (docs / "wasps.md").write_text("# Wasps\n\nThey build nests.")
    ragline(environment, "index", docs)
    assert "1 document" in ragline(environment, "index", "restore", tmp_path / "copy").stdout
    assert "1 document copied" in ragline(environment, "index", "copy", "default", "other").stdout
    assert json.loads(ragline(environment, "index", "info", "-c", "other", "--json").stdout)["documents"] == 1


def test_other_settings_are_refused_with_the_command_that_mends_it(environment, docs) -> None:
    ragline(environment, "index", docs)
    other = {**environment, "RAGLINE_INDEX__CHUNK_TOKENS": "100"}
    refused = ragline(other, "index", docs)
    assert refused.returncode == 1
    assert "chunk_tokens is 256 in the index, but 100 is asked for" in refused.stderr
    assert "`ragline index reindex --collection default`" in refused.stderr
    assert ragline(other, "index", "reindex").returncode == 0
    assert "1 unchanged" in ragline(other, "index", docs).stdout


def test_an_empty_folder_is_pruned_only_where_all_is_said(environment, docs, tmp_path) -> None:
    ragline(environment, "index", docs)
    docs.rename(tmp_path / "away")
    docs.mkdir()
    refused = ragline(environment, "index", "--prune", docs)
    assert refused.returncode == 1
    assert f"1 of the 1 documents below {docs} have no file any more" in refused.stdout
    assert json.loads(ragline(environment, "index", "info", "--json").stdout)["documents"] == 1
    pruned = ragline(environment, "index", "--prune=all", docs)
    assert (pruned.returncode, "1 removed" in pruned.stdout) == (0, True)


def test_watching_outlives_a_folder_that_goes_away(environment, docs, tmp_path) -> None:
    with watching(environment, docs) as lines:
        docs.rename(tmp_path / "away")
        while "documents below" not in (said := next(lines)):
            assert "removed" not in said
        assert f"1 of the 1 documents below {docs} have no file any more" in said
        (tmp_path / "away" / "wasps.md").write_text("# Wasps\n\nThey build nests.")
        (tmp_path / "away").rename(docs)
        while "indexed" not in (said := next(lines)):
            pass
        assert "1 document (1 chunk) indexed, 1 unchanged" in said


def test_watching_follows_the_folder(environment, docs, embed_server) -> None:
    with watching(environment, docs) as lines:
        (docs / "wasps.md").write_text("# Wasps\n\nThey build nests.")
        assert "1 document (1 chunk) indexed" in next(lines)
        (docs / "wasps.md").unlink()
        assert "1 removed" in next(lines)


@contextmanager
def watching(environment: dict[str, str], docs: Path) -> Iterator[Iterator[str]]:
    """The lines that `ragline index --watch` prints from its first change on."""
    command = [sys.executable, "-c", RUN, "index", str(docs), "--watch"]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        while "Watching" not in process.stdout.readline():
            pass
        yield iter(process.stdout.readline, "")
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=60)
        process.stdout.close()
    assert status == 143
