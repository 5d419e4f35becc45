"""What is said of a document - its name, id, collection - is kept as it was said, or refused by name."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.app.http.test_server import add, serving, settings_over
from tests.conftest import Stack

pytestmark = pytest.mark.anyio

DISPOSITIONS = {
    'filename="plan.txt"': "plan.txt",
    "filename*=utf-8''%D0%BF%D0%BB%D0%B0%D0%BD.txt": "план.txt",
    "filename=\"plan.txt\"; filename*=UTF-8''pl%C3%A4n.md": "plän.md",
    "filename*=iso-8859-1'de'Gr%FC%DFe.txt": "Grüße.txt",
    'filename="=?utf-8?B?0L/Qu9Cw0L3Ri/Cfj6A/LnR4dA==?="': "планы🏠?.txt",
    'filename="=?iso-8859-1?Q?caf=E9=2Etxt?="': "café.txt",
    'filename="2030/invoice.txt"': "2030/invoice.txt",
    'filename="2030\\\\invoice.txt"': "2030/invoice.txt",
    'filename="../../etc/./passwd.txt"': "etc/passwd.txt",
    'filename="C:\\\\Users\\\\Ana\\\\plan.txt"': "plan.txt",
    'filename="/home/ana/plan.txt"': "plan.txt",
    'filename=".."': "upload",
    "filename*=utf-8''Cafe%CC%81.txt": "Café.txt",
}


def form(disposition: str, *fields: tuple[str, str], content: str = "The lift is out of order.") -> dict[str, Any]:
    """A multipart request, its file's header as given; its type in upper case, as RFC 2045 allows."""
    parts = [f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    parts.append(f'--B\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\n{content}\r\n--B--\r\n')
    return {"content": "".join(parts).encode(), "headers": {"Content-Type": "Multipart/Form-Data; boundary=B"}}


async def indexed(http: httpx2.AsyncClient, **request: Any) -> dict[str, Any]:
    accepted = await http.post("/documents", **request)
    assert accepted.status_code == 202, accepted.text
    while (await http.get(f"/jobs/{accepted.json()['job_id']}")).json()["state"] == "running":
        pass
    return dict(accepted.json())


async def test_a_files_name_is_read_in_every_form(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        for disposition, name in DISPOSITIONS.items():
            accepted = await indexed(http, **form(disposition))
            document = (await http.get(f"/documents/{accepted['document_id']}")).json()
            assert document.get("url") == name, disposition


async def test_files_of_two_folders_are_two_documents(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        for year, crowns in ((2030, 14), (2031, 15)):
            request = form(f'filename="{year}/invoice.txt"', content=f"The invoice is {crowns} crowns.")
            assert not (await indexed(http, **request))["already_existed"]
        names = {row["url"] for row in (await http.get("/documents")).json()["documents"]}
        assert names == {"2030/invoice.txt", "2031/invoice.txt"}
        assert (await indexed(http, **form('filename="2031/invoice.txt"')))["already_existed"]


async def test_a_collection_counts_in_the_address_too(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        text = {"text": "The allowance is 31 days.", "id": "a"}
        assert (await indexed(http, params={"collection": "hr"}, json=text))["collection"] == "hr"
        request = form('filename="a.txt"')
        assert (await indexed(http, params={"collection": "hr"}, **request))["collection"] == "hr"
        put = await http.put("/documents/b", params={"collection": "hr"}, json={"text": "x y z", "id": "b"})
        assert (put.status_code, put.json()["collection"], put.json()["document_id"]) == (202, "hr", "b")


@pytest.mark.parametrize(
    ("address", "request_", "param"),
    [
        ("POST /documents?collection=hr", {"json": {"text": "x", "collection": "law"}}, "collection"),
        ("POST /documents?collection=hr", form('filename="a"', ("collection", "law")), "collection"),
        ("POST /documents?colection=hr", {"json": {"text": "x"}}, "colection"),
        ("POST /documents", form('filename="a"', ("collection_name", "hr")), "collection_name"),
        ("PUT /documents/a", {"json": {"text": "x", "id": "b"}}, "id"),
        ("PUT /documents/a", form('filename="a"', ("id", "b")), "id"),
        ("POST /documents", {"json": {"text": "x", "id": "a/chunks"}}, "id"),
        ("POST /documents", {"json": {"text": "x", "id": "a/../b"}}, "id"),
    ],
)
async def test_what_would_have_no_effect_is_refused_by_its_name(
    stack: Stack, tmp_path: Path, address: str, request_: dict[str, Any], param: str
) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        reply = await http.request(*address.split(), **request_)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text
        assert (await http.get("/collections")).json()["collections"] == []


async def test_every_id_that_can_be_put_can_be_got_and_deleted(stack: Stack, tmp_path: Path) -> None:
    async with serving(settings_over(stack, tmp_path)) as http:
        for identity in (
            "a\nb",
            "end\n",
            "a/b c",
            "a?b#c",
            "100%",
            "å/ß",
            "chunks",
            "a//b",
            "/a",
            "a/",
            "...",
            "a b\t",
        ):
            await add(http, identity, "The lift is out of order.")
            path = f"/documents/{quote(identity, safe='')}"
            assert (await http.get(path)).json()["id"] == identity
            assert len((await http.get(f"{path}/chunks")).json()) == 1
            assert (await http.delete(path)).status_code == 204
            assert (await http.get(path)).status_code == 404
