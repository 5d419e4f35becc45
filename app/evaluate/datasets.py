"""Reads a set of questions: a folder of BEIR or NVIDIA, SQuAD's JSON, MTRAG's JSON Lines, a CSV file.

A document is named by its source: the id that the set gives it, or the path of its file.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from indexing.document import Document
from services.client import Message
from services.errors import BadRequestError, NotFoundError

KINDS = (
    "a folder with corpus.jsonl, queries.jsonl and qrels.tsv (BEIR), a folder with corpus/ and train.json (NVIDIA), "
    "SQuAD's .json, MTRAG's .jsonl, or a .csv with the columns question, answer and source"
)
_ROLES = {"user": "user", "assistant": "assistant", "agent": "assistant", "system": "assistant"}


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and what is known of its answer."""

    id: str
    question: str
    history: tuple[Message, ...]
    """Earlier turns, oldest first."""
    relevant: Mapping[str, float]
    """Grades by document; {} where none is judged."""
    answers: tuple[str, ...]
    """Any of them is right; () where none is known."""
    answerable: bool | None
    """Whether the documents answer it; None: not known, or they answer another reading of it."""
    rewrite: str = ""
    """The question as one that stands alone, where the set has it."""


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    path: Path
    cases: tuple[Case, ...]
    texts: Callable[[], Iterator[Document]] | None = None
    """Reads the documents that are texts in the set."""
    files: tuple[Path, ...] = ()
    """Those that are files; without texts and files, the questions are of a collection that is there."""


def read_dataset(path: Path | str) -> Dataset:
    """Read a set of questions. Raises NotFoundError, and BadRequestError that names file, line and fault."""
    path = Path(path)
    if not path.exists():
        raise NotFoundError(f"no such dataset: {path}; give the path of {KINDS}")
    read: Callable[[Path], Dataset] | None
    if path.is_dir():
        read = _beir if (path / "queries.jsonl").exists() else _nvidia if (path / "train.json").exists() else None
    else:
        read = {".json": _squad, ".jsonl": _mtrag, ".csv": _csv}.get(path.suffix.lower())
    if read is None:
        raise BadRequestError(f"{path} is no dataset; ragline reads {KINDS}")
    try:
        dataset = read(path)
    except KeyError as exc:
        raise BadRequestError(f"{path}: a record lacks the field {exc}; ragline reads {KINDS}") from exc
    except (AttributeError, TypeError, UnicodeDecodeError) as exc:
        raise BadRequestError(f"{path} has not the form of a dataset ({exc}); ragline reads {KINDS}") from exc
    if not dataset.cases:
        raise BadRequestError(f"{path} has no questions")
    return dataset


def text_document(name: str, title: str, text: str) -> Document:
    """A document of a set, whose source is its name there."""
    digest = hashlib.sha256(f"{title}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
    return Document(name, name, title, text, "text/plain", {}, (), digest)


def _beir(folder: Path) -> Dataset:
    """Questions of which nothing is known, as those of another split, are left out."""
    judged = _qrels(folder)
    answers = {str(row["_id"]): row for row in _lines(folder / "answers.jsonl")}
    cases = []
    for row in _lines(folder / "queries.jsonl"):
        key = str(row["_id"])
        more = {**row, **answers.get(key, {})}
        relevant = judged.get(key, {})
        *history, last = _turns(more.get("conversation"), row["text"])
        gold = tuple(str(each) for each in more.get("answers") or ())
        answerable = _flag(more)
        if answerable is None and "answerability" not in more:
            answerable = True if relevant or gold else False if more.get("answers") == [] else None
        if relevant or gold or answerable is not None:
            rewrite = str(more.get("rewrite") or "")
            cases.append(Case(key, last["content"], tuple(history), relevant, gold, answerable, rewrite))
    return Dataset(folder.resolve().name, folder, tuple(cases), partial(_corpus, folder))


def _corpus(folder: Path) -> Iterator[Document]:
    for row in _lines(folder / "corpus.jsonl"):
        if str(row["text"]).strip():
            yield text_document(str(row["_id"]), str(row.get("title") or ""), str(row["text"]))


def _qrels(folder: Path) -> dict[str, dict[str, float]]:
    """Grades above 0 by question and document, of the first file of qrels that there is."""
    names = ("qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv", *(f.name for f in sorted(folder.glob("qrels*.tsv"))))
    file = next((folder / name for name in names if (folder / name).exists()), None)
    if not (folder / "corpus.jsonl").exists() or file is None:
        raise BadRequestError(f"{folder} has queries.jsonl, but not both corpus.jsonl and qrels.tsv beside it")
    judged: dict[str, dict[str, float]] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            query, document, grade = line.split("\t")[:3]
            if float(grade) > 0:
                judged.setdefault(query, {})[document] = float(grade)
        except ValueError as exc:
            if number > 1:  # its header
                raise BadRequestError(f"{file}, line {number}: not query-id, corpus-id and score, by tabs") from exc
    return judged


def _nvidia(folder: Path) -> Dataset:
    files = {f.name: f.resolve() for f in sorted((folder / "corpus").rglob("*")) if f.is_file()}
    if not files:
        raise BadRequestError(f"{folder} has train.json, but no files in corpus/ beside it")
    cases = []
    for number, row in enumerate(_records(folder / "train.json"), start=1):
        named = [_file_name(context) for context in row.get("contexts") or ()]
        possible = not row.get("is_impossible", False)
        relevant = {str(files[name]): 1.0 for name in named if name in files and possible}
        answers = (str(row["answer"]),) if possible and row.get("answer") else ()
        cases.append(Case(str(row.get("id", number)), str(row["question"]), (), relevant, answers, possible))
    return Dataset(folder.resolve().name, folder, tuple(cases), files=tuple(files.values()))


def _file_name(context: Any) -> str:
    """The file that a context names; "" for one that is only text."""
    named = context.get("filename") or context.get("file") or context.get("source") if isinstance(context, dict) else ""
    return Path(str(named or context)[:1000]).name if named or isinstance(context, str) else ""


def _squad(file: Path) -> Dataset:
    content = _json(file)
    if not isinstance(content, dict) or "data" not in content:
        raise BadRequestError(f'{file} is not SQuAD\'s JSON: {{"data": [{{"title", "paragraphs": …}}]}}')
    documents, cases = [], []
    for article in content["data"]:
        for number, paragraph in enumerate(article["paragraphs"]):
            name = f"{article.get('title', '')}-{number}"
            documents.append(text_document(name, article.get("title", "").replace("_", " "), paragraph["context"]))
            for row in paragraph["qas"]:
                possible = not row.get("is_impossible", False)
                answers = tuple(dict.fromkeys(each["text"] for each in row.get("answers", ()))) if possible else ()
                relevant = {name: 1.0} if possible else {}
                cases.append(Case(str(row["id"]), row["question"], (), relevant, answers, possible))
    return Dataset(file.stem, file, tuple(cases), lambda: iter(documents))


def _mtrag(file: Path) -> Dataset:
    """Its tasks: the passages of all of them are the documents."""
    documents: dict[str, Document] = {}
    cases = []
    for row in _lines(file):
        *history, last = _turns(row["input"])
        contexts = row.get("contexts") or ()
        documents |= {
            name: text_document(name, str(each.get("title") or ""), each["text"])
            for each in contexts
            if (name := str(each["document_id"])) not in documents and each["text"].strip()
        }
        answerable = _flag(row)
        relevant = {str(each["document_id"]): 1.0 for each in contexts} if answerable else {}
        answers = tuple(each["text"] for each in row.get("targets") or ()) if answerable else ()
        rewrite = str(row.get("rewrite") or "")
        cases.append(Case(str(row["task_id"]), last["content"], tuple(history), relevant, answers, answerable, rewrite))
    return Dataset(file.stem, file, tuple(cases), lambda: iter(documents.values()))


def _flag(row: Mapping[str, Any]) -> bool | None:
    """What the set says of a question; None where nothing, or that it is underspecified."""
    said = row.get("answerability", row.get("Answerability"))
    word = str(said[0] if isinstance(said, list) and said else said).upper()
    return True if word in ("ANSWERABLE", "PARTIAL", "TRUE") else False if word in ("UNANSWERABLE", "FALSE") else None


def _turns(conversation: Any, last: str = "") -> list[Message]:
    """The turns of a conversation, the last of which is the question."""
    said = [{"role": _ROLES[each["speaker"]], "content": each["text"]} for each in conversation or ()]
    return said or [{"role": "user", "content": last}]


def _csv(file: Path) -> Dataset:
    """A row whose answer and source are empty is a question that the documents do not answer."""
    cases: list[Case] = []
    files: list[Path] = []
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        if not {"question", "answer"} <= columns.keys():
            raise BadRequestError(f"{file}: its first line must name the columns question, answer and source")
        for row in rows:
            cells = {name: (row[column] or "").strip() for name, column in columns.items() if name}
            at, source = f"{file}, line {rows.line_num}", cells.get("source", "")
            path = (file.parent / source).resolve()
            if not cells["question"]:
                raise BadRequestError(f"{at}: the question is empty")
            if source and not path.is_file():
                raise BadRequestError(f"{at}: no such source: {path}")
            files += [path] if source else []
            relevant = {str(path): 1.0} if source else {}
            answers = (cells["answer"],) if cells["answer"] else ()
            case = Case(str(rows.line_num), cells["question"], (), relevant, answers, bool(source or answers))
            cases.append(case)
    return Dataset(file.stem, file, tuple(cases), files=tuple(dict.fromkeys(files)))


def _lines(file: Path) -> Iterator[Any]:
    """The objects of a JSON Lines file; none where it is not there."""
    if file.exists():
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _object(line, f"{file}, line {number}")


def _records(file: Path) -> Iterable[Any]:
    content = _json(file)
    if not isinstance(content, list):
        raise BadRequestError(f"{file} is not a list of {{question, answer, contexts}}")
    return content


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as exc:
        raise BadRequestError(f"{file} is not JSON: {exc}") from exc


def _object(line: str, at: str) -> Any:
    try:
        found = json.loads(line)
    except ValueError as exc:
        raise BadRequestError(f"{at}: not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadRequestError(f"{at}: not an object")
    return found
