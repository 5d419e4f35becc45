"""`ragline calibrate` over a small collection, with the real models."""

import json
import tomllib
from pathlib import Path

import pytest

from app.answer.answerability import FITTED, Answerability
from tests.conftest import Stack

NAMES = (
    "Aldern", "Brisk", "Corvo", "Dunmore", "Elstow", "Farrow", "Glint", "Harrow",
    "Istra", "Jarrow", "Kelby", "Lorne", "Marden", "Norwell", "Ostrey", "Penrith",
    "Quarr", "Rosedale", "Selby", "Tarn", "Ulver", "Varden", "Wexcombe", "Yarm",
)  # fmt: skip


@pytest.fixture(scope="module")
def questions(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bridges")
    texts = [
        {
            "_id": f"d{n}",
            "title": "",
            "text": f"The bridge of {name} was built in {1700 + 9 * n} by {name[::-1].title()}.",
        }
        for n, name in enumerate(NAMES)
    ]
    asked = [{"_id": f"q{n}", "text": f"Who built the bridge of {name}?"} for n, name in enumerate(NAMES)]
    for name, rows in (("corpus", texts), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    qrels = "".join(f"q{n}\td{n}\t1\n" for n in range(len(NAMES)))
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}")
    done = stack.ragline("index", str(folder / "corpus.jsonl"), "--collection", "bridges")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_model_is_fitted_and_kept(stack: Stack, questions: Path) -> None:
    file = stack.data_dir / FITTED
    done = stack.ragline("calibrate", str(questions), "-c", "bridges", "--json", "--write")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert (report["answerable"], report["unanswerable"]) == (24, 24), "the gold taken away"
        assert report["auroc"] > 0.95
        assert report["n"] == 12
        kept = Answerability(**tomllib.loads(file.read_text()))
        assert kept.model_dump() == report["model"]
        assert kept.reranker == "cross-encoder/ms-marco-MiniLM-L-12-v2"
        assert kept.weights["name_missing"] < 0
    finally:
        file.unlink(missing_ok=True)


@pytest.mark.slow
def test_it_prints_what_it_found_and_says_where_there_is_too_little(stack: Stack, questions: Path) -> None:
    done = stack.ragline("calibrate", str(questions), "-c", "bridges")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 answerable questions and 24 others" in done.stdout
    assert "(95% confidence, n = 12)" in done.stdout
    assert "name_missing = " in done.stdout
    assert not (stack.data_dir / FITTED).exists()
    for arguments, said in (
        (("--risk", "0.05"), "a risk of 0.05 takes 59 unanswerable questions"),
        (("-c", "elsewhere"), "elsewhere"),
    ):
        failed = stack.ragline("calibrate", str(questions), "-c", "bridges", *arguments)
        assert failed.returncode == 1
        assert said in failed.stdout + failed.stderr
