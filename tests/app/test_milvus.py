"""Two orchestrators over one Milvus."""

from pathlib import Path

import pytest

from tests.app.http.test_server import ASK, TEXTS, add, serving, settings_over
from tests.conftest import Stack

pytestmark = pytest.mark.anyio


async def test_what_one_orchestrator_is_given_the_other_finds(stack: Stack, tmp_path: Path, milvus_server: str) -> None:
    over = {"index": {"store": "milvus"}, "milvus": {"uri": milvus_server, "prefix": "shared_"}}
    settings = [settings_over(stack, tmp_path / name, **over) for name in ("one", "two")]
    async with serving(settings[0]) as one, serving(settings[1]) as two:
        for identity, text in TEXTS.items():
            await add(one, identity, text, metadata={"kind": identity})
        answer = (await two.post("/ask", json=ASK)).json()
        assert answer["sources"][0]["document_id"] == "pump"
        assert answer["degraded"] == []
        search = {"query": "pump", "filters": {"type": "eq", "key": "kind", "value": "tower"}, "min_score": 0}
        (hit,) = (await two.post("/search", json=search)).json()["results"]
        assert (hit["document_id"], hit["metadata"]) == ("tower", {"kind": "tower"})
        await add(two, "pump", "Pump P-17 was scrapped by Bo Lind.")
        assert "Lind" in (await one.post("/search", json={"query": "Who replaced P-17?"})).json()["results"][0]["text"]
        assert (await two.delete("/documents/pump")).status_code == 204
        assert len((await one.get("/documents")).json()["documents"]) == 2
        assert (await one.get("/collections")).json()["collections"][0]["documents"] == 2
        assert (await one.delete("/collections/default")).status_code == 204
        assert (await two.get("/collections")).json()["collections"] == []
        assert (await two.post("/ask", json=ASK)).status_code == 404
