"""What the documents say is so."""

import re
from pathlib import Path

from app.http.server import create_app
from app.settings import AppSettings
from tests.settings_page import TARGET, page

ROOT = Path(__file__).parent.parent


def test_every_setting_is_documented_as_it_is() -> None:
    assert TARGET.read_text() == page(), "run: make docs"


def test_every_route_is_documented() -> None:
    pages = ("README.md", "docs/api.md", "docs/chat-clients.md")
    text = re.sub(r"\{\w+\}", "{id}", "".join((ROOT / page).read_text() for page in pages))
    paths = create_app(AppSettings.load()).openapi()["paths"]
    assert {"/ask", "/search", "/documents", "/jobs/{job_id}"} <= paths.keys()
    for path in paths:
        assert re.sub(r"\{\w+\}", "{id}", path) in text, path


def test_the_readme_tree_names_every_module_once() -> None:
    """Folders end in a slash; below one stand its modules in the order of the flow, remarks in parentheses."""
    block = (ROOT / "README.md").read_text().partition("    app/ ")[2].partition("\n\n")[0]
    named: list[str] = []
    folders: list[str] = []
    for line in ("    app/ " + block).splitlines():
        depth, (first, *_) = (len(line) - len(line.lstrip())) // 4 - 1, line.split()
        if first.endswith("/"):
            folders = [*folders[:depth], first]
            assert Path(ROOT, *folders).is_dir(), line
        else:
            assert len(folders) == depth, line
            named += ["".join(folders) + name for name in re.sub(r"\([^)]*\)", " ", line).split()]
    modules = (file for package in ("app", "services", "indexing") for file in (ROOT / package).rglob("*.py"))
    there = [str(file.relative_to(ROOT).with_suffix("")) for file in modules if not file.name.startswith("__")]
    assert sorted(named) == sorted(there)


def test_contributing_names_files_that_are_there() -> None:
    for name in re.findall(r"`((?:app|services|indexing|configs)/[\w./]+)`", (ROOT / "CONTRIBUTING.md").read_text()):
        assert (ROOT / name).exists(), name


def test_links_lead_somewhere() -> None:
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / link).exists(), f"{file.name}: {link}"
