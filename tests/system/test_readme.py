"""README's examples, over the documents that `make run` indexes."""

import json
import re
import shlex
from pathlib import Path

from tests.conftest import Stack

ROOT = Path(__file__).parents[2]


def test_the_examples_are_answered_from_the_docs(stack: Stack) -> None:
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^    (ragline (?:ask|search) .*)$", text, re.MULTILINE)
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    question = json.loads(re.search(r"-d '(\{.*\})'", text)[1])["question"]
    indexed = stack.ragline("index", str(ROOT / "docs"), "--collection", "readme")
    assert indexed.returncode == 0, indexed.stdout + indexed.stderr
    asked, searched = (
        json.loads(stack.ragline(*command, "--collection", "readme", "--json").stdout) for command in commands
    )
    assert commands[0] == ["ask", question]
    assert asked["answered"]
    assert "fused order" in asked["answer"]
    (first, *_) = asked["citations"]
    assert first["verified"]
    assert first["url"].endswith("docs/architecture.md")
    assert "vLLM" in searched["results"][0]["text"]
