"""Each form of a set of questions is read into the same cases, and anything else is refused by a sentence."""

import json

import pytest

from app.evaluate.datasets import Case, read_dataset
from services.errors import BadRequestError, NotFoundError


def lines(file, *rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "bees"
    folder.mkdir()
    lines(
        folder / "corpus.jsonl",
        {"_id": "d1", "title": "Bees", "text": "A hive has one queen."},
        {"_id": "d2", "text": "Honey keeps for years."},
        {"_id": "d3", "text": "  "},
    )
    lines(folder / "queries.jsonl", *({"_id": key, "text": f"{key}?"} for key in ("q1", "q2", "q3", "q4", "q5")))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\n")
    turns = [
        {"speaker": "user", "text": "Bees?"},
        {"speaker": "agent", "text": "Yes."},
        {"speaker": "user", "text": "And?"},
    ]
    lines(
        folder / "answers.jsonl",
        {"_id": "q1", "answers": ["one", "a single one"]},
        {
            "_id": "q2",
            "answers": ["for years"],
            "answerability": ["PARTIAL"],
            "conversation": turns,
            "rewrite": "Honey?",
        },
        {"_id": "q3", "answers": ["I do not know."], "answerability": ["UNANSWERABLE"]},
        {"_id": "q4", "answers": []},
    )
    return folder


def test_beir_with_answers_and_conversations(beir):
    dataset = read_dataset(beir)
    history = ({"role": "user", "content": "Bees?"}, {"role": "assistant", "content": "Yes."})
    assert dataset.name == "bees"
    assert dataset.cases == (
        Case("q1", "q1?", (), {"d1": 2.0}, ("one", "a single one"), answerable=True),
        Case("q2", "And?", history, {"d2": 1.0}, ("for years",), answerable=True, rewrite="Honey?"),
        Case("q3", "q3?", (), {}, ("I do not know.",), answerable=False),
        Case("q4", "q4?", (), {}, (), answerable=False),
    )  # nothing is known of q5
    texts = [(each.source, each.title, each.text) for each in dataset.texts()]
    assert texts == [("d1", "Bees", "A hive has one queen."), ("d2", "", "Honey keeps for years.")]


def test_beir_takes_the_test_split_of_a_folder_of_qrels(beir):
    (beir / "qrels").mkdir()
    (beir / "qrels.tsv").rename(beir / "qrels" / "train.tsv")
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq5\td1\t1\n")
    assert {case.id: case.relevant for case in read_dataset(beir).cases}["q5"] == {"d1": 1.0}


def test_squad(tmp_path):
    file = tmp_path / "dev-v2.0.json"
    asked = [
        {"id": "1", "question": "How many?", "answers": [{"text": "one"}, {"text": "one"}], "is_impossible": False},
        {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    content = {"data": [{"title": "Honey_bee", "paragraphs": [{"context": "A hive has one queen.", "qas": asked}]}]}
    file.write_text(json.dumps(content))
    dataset = read_dataset(file)
    assert dataset.cases == (
        Case("1", "How many?", (), {"Honey_bee-0": 1.0}, ("one",), answerable=True),
        Case("2", "Why?", (), {}, (), answerable=False),
    )
    assert [(each.source, each.title) for each in dataset.texts()] == [("Honey_bee-0", "Honey bee")]


def test_nvidia(tmp_path):
    folder = tmp_path / "set"
    (folder / "corpus" / "deep").mkdir(parents=True)
    file = folder / "corpus" / "deep" / "a.txt"
    file.write_text("A hive has one queen.")
    rows = [
        {
            "question": "How many?",
            "answer": "one",
            "contexts": [{"filename": "a.txt", "text": "A hive"}],
            "is_impossible": False,
        },
        {"question": "Who?", "answer": "one", "contexts": ["corpus/a.txt"]},
        {"question": "Why?", "answer": "", "contexts": ["a.txt"], "is_impossible": True},
    ]
    (folder / "train.json").write_text(json.dumps(rows))
    dataset = read_dataset(folder)
    relevant = {str(file): 1.0}
    assert [(case.relevant, case.answers, case.answerable) for case in dataset.cases] == [
        (relevant, ("one",), True), (relevant, ("one",), True), ({}, (), False)
    ]  # fmt: skip
    assert dataset.files == (file,)


def test_mtrag(tmp_path):
    file = tmp_path / "reference.jsonl"
    said = [
        {"speaker": "user", "text": "Bees?"},
        {"speaker": "agent", "text": "Yes."},
        {"speaker": "user", "text": "And?"},
    ]
    contexts = [{"document_id": "d1", "title": "Bees", "text": "A hive has one queen."}]
    common = {"contexts": contexts, "targets": [{"text": "One."}], "input": said[:1]}
    lines(
        file,
        {**common, "task_id": "c<::>2", "input": said, "Answerability": ["ANSWERABLE"]},
        {**common, "task_id": "c<::>3", "Answerability": ["UNANSWERABLE"]},
        {**common, "task_id": "c<::>4", "Answerability": ["UNDERSPECIFIED"]},
    )
    first, second, third = read_dataset(file).cases
    assert (first.question, len(first.history), first.relevant) == ("And?", 2, {"d1": 1.0})
    assert (first.answers, first.answerable) == (("One.",), True)
    assert (second.answers, second.relevant, second.answerable) == ((), {}, False)
    assert third.answerable is None
    assert [each.source for each in read_dataset(file).texts()] == ["d1"]


def test_csv(tmp_path):
    (tmp_path / "bees.txt").write_text("A hive has one queen.")
    file = tmp_path / "questions.csv"
    file.write_text('\ufeffQuestion,answer,Source\n"How many, then?",one,bees.txt\nWhy?,,\n', encoding="utf-8")
    dataset = read_dataset(file)
    source = tmp_path / "bees.txt"
    assert dataset.cases == (
        Case("2", "How many, then?", (), {str(source): 1.0}, ("one",), answerable=True),
        Case("3", "Why?", (), {}, (), answerable=False),
    )
    assert dataset.files == (source,)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", "question\nWhy?\n", "must name the columns question, answer and source"),
        ("x.csv", "question,answer\n,one\n", "line 2: the question is empty"),
        ("x.csv", "question,answer,source\nWhy?,one,nowhere.txt\n", "line 2: no such source"),
        ("x.csv", "question,answer\n", "has no questions"),
        ("x.json", "{", "is not JSON"),
        ("x.json", "[1]", "is not SQuAD's JSON"),
        ("x.json", '{"data": [{"paragraphs": [{"qas": []}]}]}', "lacks the field 'context'"),
        ("x.jsonl", '{"task_id": "1"}\n', "lacks the field 'input'"),
        ("x.jsonl", "[1]\n", "line 1: not an object"),
        ("x.jsonl", "{'a'}\n", "line 1: not JSON"),
        ("x.parquet", "PAR1", "is no dataset; ragline reads a folder with corpus.jsonl"),
    ],
)
def test_anything_else_is_refused_by_a_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadRequestError, match=says):
        read_dataset(tmp_path / name)


def test_a_broken_folder_is_refused_by_a_sentence(tmp_path, beir):
    with pytest.raises(BadRequestError, match="is no dataset"):
        read_dataset(tmp_path)
    with pytest.raises(NotFoundError, match="no such dataset"):
        read_dataset(tmp_path / "nowhere")
    (beir / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1 d2 1\n")
    with pytest.raises(BadRequestError, match=r"qrels\.tsv, line 3"):
        read_dataset(beir)
    (beir / "qrels.tsv").unlink()
    with pytest.raises(BadRequestError, match=r"not both corpus\.jsonl and qrels\.tsv"):
        read_dataset(beir)
