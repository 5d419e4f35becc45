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
    text = (ROOT / "docs/api.md").read_text() + (ROOT / "README.md").read_text()
    paths = create_app(AppSettings.load()).openapi()["paths"]
    assert {"/ask", "/search", "/documents", "/jobs/{job_id}"} <= paths.keys()
    for path in paths:
        shown = path.replace("{job_id}", "{id}").replace("{document_id}", "{id}")
        assert shown in text, path


def test_the_readme_tree_names_what_is_there() -> None:
    block = (ROOT / "README.md").read_text().partition("    app/ ")[2].partition("\n\n")[0]
    folder = ""
    for line in ("    app/ " + block).splitlines():
        names = re.findall(
            r"[\w.]+(?:/|\.py)", line.partition("  " * 3)[0] if line.startswith("     ") else line.split()[0]
        )
        if not line.startswith("     "):
            folder = names[0]
            names = [""]
        for name in names:
            assert (ROOT / folder / name).exists(), f"{folder}{name}"


def test_links_lead_somewhere() -> None:
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / link).exists(), f"{file.name}: {link}"
