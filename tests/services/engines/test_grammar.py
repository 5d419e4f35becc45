"""Whether a grammar compiles: what is said of it for good, and what only of this time."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.engines.generator import openvino_grammar
from services.engines.generator.interface import Structure
from services.engines.generator.openvino_convert import convert_gguf
from services.engines.generator.openvino_grammar import check_grammar
from services.errors import BadRequestError, OverloadedError
from tests.services.generate.test_staying_up import children

pytestmark = pytest.mark.anyio
DIGITS = Structure("regex", "[0-9]+")


@pytest.fixture(scope="module")
def compiler(folder) -> Path:
    """The folder that the engine's process tells of."""
    return convert_gguf(folder.weights)


def ours() -> set[int]:
    """Processes of this one, servers of other tests among them."""
    return set(children(os.getpid()))


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        (DIGITS, None),
        (Structure("regex", "[0-9"), "Unclosed '['"),
        (Structure("regex", "[0-9]" * 20_001), "it has 100005 characters"),
        (Structure("grammar", 'root ::= "\ud800"'), "lone surrogate"),
        (Structure("json_schema", '{"type": "string", "maxLength": 10000000}'), "over 5 s of processor time"),
    ],
)
async def test_what_the_compiler_says_is_said_for_good(compiler, structure, said, monkeypatch):
    monkeypatch.setattr(openvino_grammar, "PROCESS_S", 120.0)  # a busy machine gives it its processor time late
    found = await check_grammar(compiler, structure)
    assert said in found if said else found is None


async def test_a_compiler_that_was_slow_is_not(compiler, monkeypatch):
    monkeypatch.setattr(openvino_grammar, "COMPILE_S", 0.0)
    with pytest.raises(BadRequestError, match="s to compile, over 0 s"):
        await check_grammar(compiler, DIGITS)


async def test_a_machine_that_is_busy_is_not(compiler, monkeypatch):
    before = ours()
    monkeypatch.setattr(openvino_grammar, "PROCESS_S", 0.01)
    with pytest.raises(OverloadedError) as caught:
        await check_grammar(compiler, DIGITS)
    assert caught.value.retry_after
    assert ours() == before


async def test_a_compiler_that_was_killed_is_not(compiler):
    before = ours()
    asked = asyncio.create_task(check_grammar(compiler, DIGITS))
    while not (compiling := ours() - before):
        await asyncio.sleep(0.01)
    os.kill(*compiling, signal.SIGKILL)
    with pytest.raises(OverloadedError):
        await asked


def test_compiling_may_not_take_all_memory():
    code = "from services.engines.generator.openvino_grammar import _limit, MEMORY_BYTES as most\n"
    code += "_limit(5)\nbytearray(most // 2)\nprint('half')\nbytearray(2 * most)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "half\n"
    assert "MemoryError" in ran.stderr
