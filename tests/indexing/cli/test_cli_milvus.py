"""The commands over a Milvus that several processes share."""

import json
from pathlib import Path

import pytest

from tests.indexing.cli.test_cli import docs, environment, ragline

__all__ = ["docs", "environment"]
pytestmark = pytest.mark.slow


@pytest.fixture
def there(environment: dict[str, str], milvus_server: str) -> dict[str, str]:
    return {**environment, "RAGLINE_INDEX__STORE": "milvus", "RAGLINE_MILVUS__URI": milvus_server}


def test_index_and_care(there: dict[str, str], docs: Path) -> None:
    assert "1 document (1 chunk) indexed" in ragline(there, "index", docs).stdout
    (docs / "bees.md").rename(docs / "wasps.md")
    job = json.loads(ragline(there, "index", docs, "--json").stdout)
    assert (job["moved"], job["embedded"]) == (1, 0)
    info = json.loads(ragline(there, "index", "info", "--json").stdout)
    assert (info["documents"], info["chunks"], info["manifest"]["embedding_model"]) == (1, 1, "hashed")
    assert info["milvus"] == there["RAGLINE_MILVUS__URI"]
    assert "is sound" in ragline(there, "index", "repair").stdout
    assert job["job"][:12] in ragline(there, "jobs").stdout
    (docs / "wasps.md").unlink()
    assert "1 removed" in ragline(there, "index", docs, "--prune=all").stdout


def test_copies_there_and_back(there: dict[str, str], environment: dict[str, str], docs: Path) -> None:
    ragline(environment, "index", docs)
    for source, target in (("local:default", "copied"), ("copied", "local:back")):
        assert "1 document copied" in ragline(there, "index", "copy", source, target).stdout
    assert json.loads(ragline(environment, "index", "info", "-c", "back", "--json").stdout)["documents"] == 1
    assert "write NAME, local:NAME or milvus:NAME" in ragline(there, "index", "copy", "s3:x", "y").stderr


def test_what_is_for_this_machine_is_refused(there: dict[str, str], tmp_path: Path) -> None:
    for command in (["compact"], ["restore", tmp_path / "snapshot"]):
        refused = ragline(there, "index", *command)
        assert refused.returncode == 1
        assert f"`ragline index {command[0]}` is for collections on this machine" in refused.stderr


def test_other_settings_and_no_milvus_are_one_line(there: dict[str, str], docs: Path) -> None:
    ragline(there, "index", docs)
    refused = ragline({**there, "RAGLINE_INDEX__CHUNK_TOKENS": "100"}, "index", docs)
    assert "chunk_tokens is 256 in the index, but 100 is asked for. Index into another collection" in refused.stderr
    away = ragline({**there, "RAGLINE_MILVUS__URI": "http://127.0.0.1:9", "RAGLINE_MILVUS__TIMEOUT_S": "1"}, "jobs")
    assert away.stderr.startswith("ragline: no Milvus answers at http://127.0.0.1:9")
