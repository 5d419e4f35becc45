"""Which files of a tree are read."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from indexing.read import sources
from services.errors import NotFoundError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.md", "sub/b.txt", "sub/photo.JPG", ".git/config", ".hidden.md", "node_modules/x.js", "~$open.docx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("words")
    return tmp_path


def test_a_folder_without_what_nobody_means(tree: Path) -> None:
    found = sources.find([tree])
    assert [str(file.relative_to(tree)) for file in found.files] == ["a.md", "sub/b.txt"]
    assert found.skipped == {"hidden": 4, "not a document": 1}
    assert found.roots == (tree,)
    assert set(found.files.values()) == {5}


def test_links_out_of_the_folder_are_not_followed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("secret")
    (tree / "link.txt").symlink_to(outside / "secret.txt")
    (tree / "folder").symlink_to(outside)
    found = sources.find([tree])
    assert sorted(file.name for file in found.files) == ["a.md", "b.txt"]
    assert found.skipped["link"] == 1


def test_named_files_and_globs(tree: Path) -> None:
    found = sources.find([tree / "sub/photo.JPG", str(tree / "**/*.md")])
    assert sorted(file.name for file in found.files) == ["a.md", "photo.JPG"]
    assert found.named == {tree / "sub/photo.JPG", tree / "a.md"}


def test_each_file_once(tree: Path) -> None:
    assert len(sources.find([tree, tree / "a.md", tree / "sub"]).files) == 2


def test_a_file_that_is_gone_is_a_root_and_a_wrong_path_an_error(tree: Path) -> None:
    assert sources.find([tree / "gone.md"]).roots == (tree / "gone.md",)
    with pytest.raises(NotFoundError, match=r"nothing at .*nowhere/x"):
        sources.find([tree / "nowhere/x"])
    with pytest.raises(NotFoundError):
        sources.find([str(tree / "*.rst")])


def test_of_files_that_were_found_before_any_may_be_gone(tree: Path) -> None:
    (tree / "b[1].md").write_text("no glob")
    (tree / "link.md").symlink_to(tree / "a.md")
    gone = [tree / "nowhere/x.md", tree / "c[1].md"]
    found = sources.find([tree / "a.md", tree / "b[1].md", tree / "link.md", *gone], exact=True)
    assert list(found.files) == [tree / "a.md", tree / "b[1].md"]
    assert found.roots == (tree / "link.md", *gone)


def test_files_may_vanish_while_they_are_listed(tmp_path: Path) -> None:
    here, away, over = tmp_path / "docs/here", tmp_path / "away", threading.Event()
    here.mkdir(parents=True)
    for number in range(300):
        (here / f"{number}.md").write_text("words")

    def move() -> None:
        while not over.is_set():
            here.rename(away)
            away.rename(here)

    partly = 0
    with ThreadPoolExecutor() as threads:
        moving = threads.submit(move)
        try:
            while partly < 20:
                partly += 0 < len(sources.find([here.parent]).files) < 300
        finally:
            over.set()
        moving.result()
