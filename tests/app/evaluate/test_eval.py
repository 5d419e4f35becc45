"""The command, over real services: what it prints and writes, its exit status, and how it goes on."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from app.evaluate.evaluation import wanted_of
from services.errors import BadRequestError
from tests.conftest import RAGLINE, Stack

DOCUMENTS = {
    "bees": "A hive of honey bees has a single queen. She lays up to 2,000 eggs on a day in June.",
    "pump": "The pump P-17 of the northern station was replaced in 2019. It moves 40 litres of water a second.",
    "tower": "The tower of Saint Anna is 83 metres high. Master Ulrich began to build it in 1392.",
    "bread": "The dough of rye bread rests for 14 hours. The baker adds caraway from Finland before it is baked.",
    "ferry": "The ferry to Langeoog sails at 9:45 from Bensersiel. A ticket costs 32 euros for adults.",
    "comet": "The comet Encke returns every 3.3 years. Johann Encke computed its orbit in 1819.",
}
QUESTIONS = {
    "q1": ("How many queens does a hive of honey bees have?", "bees", "single"),
    "q2": ("When was the pump P-17 replaced?", "pump", "2019"),
    "q3": ("How high is the tower of Saint Anna?", "tower", "83 metres"),
    "q4": ("How long does the dough of rye bread rest?", "bread", "14 hours"),
    "q5": ("What does a ticket for the ferry to Langeoog cost?", "ferry", "32 euros"),
    "q6": ("Who computed the orbit of the comet Encke?", "comet", "Johann Encke"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set in BEIR's layout."""
    folder = tmp_path_factory.mktemp("sets") / "Small Things"
    folder.mkdir()
    rows = {
        "corpus.jsonl": [{"_id": key, "title": key.title(), "text": text} for key, text in DOCUMENTS.items()],
        "queries.jsonl": [{"_id": key, "text": question} for key, (question, _, _) in QUESTIONS.items()],
        "answers.jsonl": [{"_id": key, "answers": [answer]} for key, (_, _, answer) in QUESTIONS.items()],
    }
    for name, each in rows.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in each))
    judged = "".join(f"{key}\t{document}\t1\n" for key, (_, document, _) in QUESTIONS.items())
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@pytest.fixture(scope="module")
def run(stack: Stack, folder):
    """The process of a whole evaluation, and what it wrote."""
    written = folder.parent / "run.json"
    process = stack.ragline("eval", str(folder), "--json", str(written), "--html", str(folder.parent / "run.html"))
    assert process.returncode == 0, process.stderr
    return process, json.loads(written.read_text())


@pytest.fixture(scope="module")
def corpus(stack: Stack, folder):
    """A collection of the same documents that the user indexed."""
    assert stack.ragline("index", str(folder / "corpus.jsonl"), "-c", "corpus").returncode == 0
    return "corpus"


def test_every_stage_is_printed_with_its_figures(run):
    process, written = run
    figures = {(each["stage"], each["name"]): each for each in written["measures"]}
    assert list(dict.fromkeys(stage for stage, _ in figures)) == [
        "retrieval",
        "answers",
        "abstention",
        "citations",
        "robustness",
        "cost",
        "ingest",
    ]  # fmt: skip  no question has a history
    assert figures["retrieval", "recall@100 fused"]["value"] == 1.0
    assert figures["retrieval", "nDCG@10 reranked"]["value"] == 1.0
    assert figures["abstention", "AUROC"]["n"] == 12
    assert figures["citations", "exact spans"]["value"] == 1.0
    assert figures["ingest", "documents indexed"]["n"] == 6
    assert all(m["low"] <= m["value"] <= m["high"] for m in figures.values() if m["low"] is not None)
    told = [q for q in written["questions"] if QUESTIONS[q["id"]][2].lower() in q["answer"].lower()]
    assert figures["answers", "gold in the answer"]["value"] == pytest.approx(len(told) / 6)
    assert "6 of 6 questions, 6 documents" in process.stdout
    assert "6 were asked with their documents hidden" in process.stdout
    assert re.search(r"nDCG@10 +1\.000 \[1\.000–1\.000\]", process.stdout)
    assert f"The bottleneck is {written['bottleneck']}" in process.stdout


def test_the_page_refers_to_nothing_outside(run, folder):
    page = (folder.parent / "run.html").read_text()
    assert "<title>ragline eval: Small Things</title>" in page
    assert "<polyline" in page
    for forbidden in ("<script", "http://", "https://", "src=", "@import", "url("):
        assert forbidden not in page


def test_the_documents_are_indexed_once(run, stack, folder):
    again = stack.ragline("eval", str(folder), "--limit", "1", "--stages", "retrieval")
    assert "The 6 documents are indexed already; collection 'eval-small-things-" in again.stdout
    assert "1 of 6 questions" in again.stdout
    assert "gold in the answer" not in again.stdout
    assert not list((stack.data_dir / "index").glob("eval-*"))  # apart from the user's collections


@pytest.mark.slow
def test_the_exit_status_tells_a_significant_drop(run, stack, folder, tmp_path):
    _, written = run
    arguments = ("eval", str(folder), "--stages", "retrieval", "--baseline")
    same = stack.ragline(*arguments, str(folder.parent / "run.json"))
    assert (same.returncode, "No significant drop" in same.stdout) == (0, True), same.stdout + same.stderr
    better = tmp_path / "better.json"
    for measure in written["measures"]:  # more than can be: every question of this run is worse
        measure["questions"] = {key: value + 0.5 for key, value in measure["questions"].items()}
    better.write_text(json.dumps(written))
    drop = stack.ragline(*arguments, str(better))
    assert (drop.returncode, "Significantly worse: retrieval: recall@100" in drop.stdout) == (1, True), drop.stdout


@pytest.mark.slow
def test_a_question_is_explained(run, stack, folder):
    said = stack.ragline("eval", str(folder), "--explain", "q3").stdout
    assert [line for line in said.splitlines() if line.startswith(("dense", "bm25", "fused", "reranked"))] == [
        "dense  relevant at 1", "bm25  relevant at 1", "fused  relevant at 1", "reranked  relevant at 1"
    ]  # fmt: skip
    assert "No stage failed." in said
    other = stack.ragline("eval", str(folder), "--explain", "Who was king of France?", "--stages", "retrieval").stdout
    assert "Nothing is known of the right answer" in other


@pytest.mark.slow
def test_questions_are_made_of_one_s_own_documents(stack, corpus):
    said = stack.ragline("eval", "--from-documents", "-c", corpus, "--stages", "retrieval").stdout
    assert "made of the documents without a language model" in said
    assert re.search(r"recall@5 .* 5$", said, re.MULTILINE)


@pytest.mark.slow
def test_a_set_is_asked_of_a_collection_that_was_indexed_otherwise(stack, folder, corpus, tmp_path):
    said = stack.ragline("eval", str(folder), "-c", corpus, "--stages", "retrieval").stdout
    assert re.search(r"nDCG@10 .*1\.000 \[1\.000–1\.000\] +6$", said, re.MULTILINE)
    (tmp_path / "other.txt").write_text("Nothing of it.")
    (tmp_path / "other.csv").write_text("question,answer,source\nWhat?,nothing,other.txt\n")
    wrong = stack.ragline("eval", str(tmp_path / "other.csv"), "-c", corpus)
    assert (wrong.returncode, "holds none of the documents" in wrong.stderr) == (1, True)


@pytest.mark.slow
def test_an_interrupted_run_goes_on(run, stack, folder):
    records = stack.data_dir / "evaluate"
    arguments = [RAGLINE, "eval", str(folder), "--stages", "answers"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(arguments, cwd=stack.folder, env=stack.env, **pipes) as process:
        while not list(records.glob("*.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "The same command goes on with what is left" in said
    rest = stack.ragline(*arguments[1:])
    assert re.search(r"^[1-5] were asked before; going on\.$", rest.stdout, re.MULTILINE), rest.stdout + rest.stderr
    assert "6 of 6 questions" in rest.stdout
    assert not list(records.glob("*.jsonl"))  # another run measures anew


@pytest.mark.parametrize(
    ("dataset", "stages", "says"),
    [
        ("SET", "retrieval,speed", "no stage 'speed'; there are retrieval, answers"),
        ("CSV", "", "names no documents; give --collection NAME"),
    ],
)
def test_wrong_arguments_are_refused_by_a_sentence(folder, tmp_path, dataset, stages, says):
    file = tmp_path / "questions.csv"
    file.write_text("question,answer\nHow many?,one\n")
    with pytest.raises(BadRequestError, match=says):
        wanted_of({"SET": str(folder), "CSV": str(file)}[dataset], "", stages, None)


def test_it_says_what_to_name_before_anything_is_asked(stack, folder):
    nowhere = stack.ragline("eval", str(folder), "--json", "nowhere/run.json")
    assert (nowhere.returncode, "no such folder: nowhere, for run.json" in nowhere.stderr) == (1, True)
    process = stack.ragline("eval")
    assert (process.returncode, "name a dataset, or give --from-documents" in process.stderr) == (1, True)


@pytest.mark.slow
def test_it_starts_the_services_where_none_run(folder, tmp_path):
    ports = {f"RAGLINE_{name}__PORT": "0" for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
    env = {**os.environ, **ports, "RAGLINE_DATA_DIR": str(tmp_path / "data"), "NO_COLOR": "1", "COLUMNS": "200"}
    arguments = [RAGLINE, "eval", str(folder), "--stages", "retrieval", "--limit", "2"]
    process = subprocess.run(arguments, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "No ragline runs: starting one for this command" in process.stdout
    assert "2 of 6 questions, 6 documents" in process.stdout


@pytest.mark.slow
def test_files_of_a_csv_are_indexed_and_found(stack, tmp_path):
    for name in ("pump", "tower"):
        (tmp_path / f"{name}.md").write_text(f"# {name.title()}\n\n{DOCUMENTS[name]}\n")
    asked = [f"{QUESTIONS[key][0]},{QUESTIONS[key][2]},{QUESTIONS[key][1]}.md" for key in ("q2", "q3")]
    (tmp_path / "asked.csv").write_text("\n".join(["question,answer,source", *asked]))
    said = stack.ragline("eval", str(tmp_path / "asked.csv"), "--stages", "retrieval").stdout
    assert "2 of 2 questions, 2 documents" in said
    assert re.search(r"^nDCG@10 .*1\.000 \[1\.000–1\.000\] +2$", said, re.MULTILINE)
