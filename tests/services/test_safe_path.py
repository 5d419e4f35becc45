"""No process imports from the folder that it is started in, whatever lies there."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.engines.generator.interface import Capacity
from services.engines.generator.process import GeneratorProcess
from tests.conftest import files_run, hostile_folder

ROOT = Path(__file__).parents[2]
GRAMMAR = """
import asyncio, sys
from pathlib import Path
from services.engines.generator.interface import Structure
from services.engines.generator.openvino_convert import convert_gguf
from services.engines.generator.openvino_grammar import check_grammar
print(asyncio.run(check_grammar(convert_gguf(Path(sys.argv[1])), Structure("regex", "[0-9]+"))))
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return hostile_folder(tmp_path)


def run(hostile: Path, *arguments: str, safe: bool = True) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *(["-P"] if safe else []), *arguments]
    return subprocess.run(command, cwd=hostile, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_folder_is_hostile_to_a_process_without_safe_path(hostile: Path) -> None:
    assert run(hostile, "-m", "services", "serve", "--help", safe=False).returncode != 0
    assert files_run(hostile)


def test_serve_imports_nothing_from_it(hostile: Path) -> None:
    assert run(hostile, "-m", "services", "serve", "--help").returncode == 0
    assert not files_run(hostile)


@pytest.mark.slow
def test_a_conversion_and_a_grammar_check_import_nothing_from_it(hostile: Path, generate_folder: Path) -> None:
    """Both run in children of the process that asks for them."""
    pytest.importorskip("openvino_genai")
    weights = hostile / "weights"
    weights.mkdir()
    file = shutil.copy(next(generate_folder.glob("*.gguf")), weights)
    ran = run(hostile, "-c", GRAMMAR, str(file))
    assert (ran.returncode, ran.stdout.strip().splitlines()[-1:]) == (0, ["None"]), ran.stderr
    assert list(weights.glob(".*.openvino-*/openvino_model.xml"))
    assert not files_run(hostile)


@pytest.mark.anyio
async def test_a_generators_process_imports_nothing_from_it(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hostile)
    engine = GeneratorProcess("tests.services.engines.mortal", {"load_s": 0}, Capacity(1, 100))
    assert await asyncio.wait_for(engine._open(), 60) is None
    await engine.stop()
    assert not files_run(hostile)
