"""/documents/{id}/similar, /collections/{name}/duplicates and `ragline duplicates`, over real vectors."""

import json
from pathlib import Path

import httpx2
import pytest

from app.http.routes.similar import MAX_SEARCHES
from app.http.server import create_app
from app.settings import AppSettings
from indexing.store.local import LocalStores
from indexing.store.similar import MAX_CHUNKS
from tests.conftest import Stack
from tests.indexing.made import MANIFEST, item

LEAVE = "Employees get 27 days of paid leave a year. Leave is requested two weeks ahead."
TEXTS = {
    "leave.txt": LEAVE,
    "leave-copy.txt": LEAVE,
    "leave-2024.txt": LEAVE.replace("27", "26"),
    "tower.txt": "The lighthouse on Skerry Point was built in 1862 by the engineer Thomas Leask.",
    "pump.txt": "Pump P-17 was replaced in March 2024 by Ana Ruiz. Its pressure limit is 8 bar.",
}


@pytest.fixture(scope="module")
def http(stack: Stack, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("twice")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    done = stack.ragline("index", str(folder), "--collection", "twice")
    assert done.returncode == 0, done.stdout + done.stderr
    with httpx2.Client(base_url=stack.addresses["server"], timeout=60) as http:
        yield http


def ids(http: httpx2.Client) -> dict[str, str]:
    """Name -> id."""
    listed = http.get("/documents", params={"collection": "twice"}).json()["documents"]
    return {Path(each["url"]).name: each["id"] for each in listed}


def names(found: list[dict]) -> list[str]:
    return [Path(each["document"]["url"]).name for each in found]


def test_similar_documents_are_ordered_and_limited(http: httpx2.Client) -> None:
    path = f"/documents/{ids(http)['leave.txt']}/similar"
    results = http.get(path, params={"collection": "twice"}).json()["results"]
    assert sorted(names(results)[:2]) == ["leave-2024.txt", "leave-copy.txt"]
    assert sorted(names(results)[2:]) == ["pump.txt", "tower.txt"]
    assert [name for name, each in zip(names(results), results, strict=True) if each["exact"]] == ["leave-copy.txt"]
    assert [each["share"] for each in results] == [1, 1, 0, 0]
    scores = [each["score"] for each in results]
    assert scores == sorted(scores, reverse=True)
    assert 0.85 < scores[1] < scores[0] < 1, "a chunk is embedded with its file's name"
    assert len(http.get(path, params={"collection": "twice", "top_n": 2}).json()["results"]) == 2


def test_duplicates_are_paged_and_change_nothing(http: httpx2.Client) -> None:
    before = http.get("/collections/twice").json()
    whole = http.get("/collections/twice/duplicates").json()
    assert (whole["compared"], whole["next_cursor"]) == (5, None)
    by_name = {Path(each["document"]["url"]).name: names(each["copies"]) for each in whole["documents"]}
    assert by_name == {
        "leave.txt": ["leave-copy.txt", "leave-2024.txt"],
        "leave-copy.txt": ["leave.txt"],
        "leave-2024.txt": ["leave.txt"],
    }
    paged, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        asked = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = http.get("/collections/twice/duplicates", params=asked).json()
        paged, cursor, pages = paged + page["documents"], page["next_cursor"], pages + 1
    assert (pages, paged) == (3, whole["documents"])
    strict = http.get("/collections/twice/duplicates", params={"threshold": 0.9999}).json()["documents"]
    assert {name for each in strict for name in names(each["copies"])} == {"leave.txt", "leave-copy.txt"}
    assert http.get("/collections/twice").json() == before


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/documents/nobody/similar?collection=twice", 404, "document_id"),
        ("/documents/a/similar?collection=nowhere", 404, "collection"),
        ("/collections/nowhere/duplicates", 404, "collection"),
        ("/collections/twice/duplicates?threshold=0", 400, "query.threshold"),
        ("/collections/twice/duplicates?share=1.1", 400, "query.share"),
        ("/collections/twice/duplicates?limit=1001", 400, "query.limit"),
        ("/documents/a/similar?top_n=101", 400, "query.top_n"),
    ],
)
def test_what_is_not_there_or_wrong_is_named(http: httpx2.Client, path: str, status: int, param: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_an_id_that_would_be_an_address_is_refused(http: httpx2.Client) -> None:
    answer = http.post("/documents", json={"id": "a/similar", "text": "x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "id")


def test_the_command_prints_each_document_with_its_copies(http: httpx2.Client, stack: Stack) -> None:
    del http
    done = stack.ragline("duplicates", "--collection", "twice")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "3 of 5 documents are repeated by others."
    assert [line for line in lines if "the same text" in line and "leave-copy.txt" in line]
    assert [line for line in lines if "100% of its chunks" in line and "leave-2024.txt" in line]
    as_json = json.loads(stack.ragline("duplicates", "-c", "twice", "--json").stdout)
    assert len(as_json["documents"]) == 3
    assert "no collection 'nowhere'" in stack.ragline("duplicates", "-c", "nowhere").stderr


@pytest.mark.anyio
async def test_a_page_of_long_documents_ends_early_and_goes_on(tmp_path: Path) -> None:
    count = MAX_SEARCHES // MAX_CHUNKS + 3
    with LocalStores(tmp_path).create_or_open("long", MANIFEST) as store:
        for n in range(count):
            texts = [f"part {part} of {n // 2}" for part in range(MAX_CHUNKS)]  # each is there twice, but for the last
            store.put([item(f"d{n:02}", *texts)])
    app = create_app(AppSettings.load(data_dir=tmp_path))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        first = (await http.get("/collections/long/duplicates")).json()
        assert first["compared"] == MAX_SEARCHES // MAX_CHUNKS + 1
        rest = (await http.get("/collections/long/duplicates", params={"cursor": first["next_cursor"]})).json()
    assert (first["compared"] + rest["compared"], rest["next_cursor"]) == (count, None)
    found = {
        each["document"]["id"]: [copy["document"]["id"] for copy in each["copies"]]
        for each in (*first["documents"], *rest["documents"])
    }
    assert found == {f"d{n:02}": [f"d{n ^ 1:02}"] for n in range(count) if n ^ 1 < count}
