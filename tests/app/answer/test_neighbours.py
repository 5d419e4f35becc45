"""Neighbours joined back: as one passage, with offsets that lead to the document's text."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from app.answer.citations import Citation, CitationChecker
from app.answer.neighbours import join
from app.answer.passages import Fused, Passage
from app.documents.library import Library
from app.settings import AppSettings
from indexing.document import StoredChunk
from indexing.store.local import Store, collection_path
from tests.app.http.test_server import add, serving, settings_over
from tests.conftest import Stack
from tests.indexing.made import MANIFEST, item

pytestmark = pytest.mark.anyio
TEXTS = ("The pump is red.", "It was built in 1862.", "It weighs 40 kg.", "It is loud.", "Nobody likes it.")


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    with Store.create_or_open(collection_path(tmp_path, "default"), MANIFEST) as store:
        store.put([item("a", *TEXTS, heading="Pumps"), item("b", *TEXTS)])
    with closing(Library(AppSettings.load(data_dir=tmp_path))) as library:
        yield library


async def passages(library: Library, *places: tuple[str, int]) -> list[Passage]:
    """The chunks at these places, best first."""
    store = await library.store("default")
    chunks: dict[tuple[str, int], StoredChunk] = {
        (document, chunk.ordinal): chunk for document in "ab" for chunk in store.document_chunks(document)
    }
    return [
        Passage(n, chunks[place], Fused(chunks[place].id, 0.1, 0.9, 3.0), n, -float(n), 1 / n)
        for n, place in enumerate(places, start=1)
    ]


async def joined(library: Library, *places: tuple[str, int], most_chars: int = 1000) -> list[Passage]:
    return await join(library, "default", await passages(library, *places), most_chars)


async def test_neighbours_become_one_passage_in_the_place_of_the_best(library: Library) -> None:
    found = await joined(library, ("b", 0), ("a", 2), ("b", 3), ("a", 1), ("a", 3))
    assert [passage.index for passage in found] == [1, 2, 3]
    assert [passage.chunk.text for passage in found] == [TEXTS[0], "\n\n".join(TEXTS[1:4]), TEXTS[3]]
    best = (await passages(library, ("a", 0), ("a", 2)))[1]
    assert (found[1].logit, found[1].score, found[1].chunk.id) == (best.logit, best.score, best.chunk.id)
    assert (found[1].chunk.ordinal, found[1].chunk.heading) == (1, "Pumps")


async def test_a_citation_in_a_joined_passage_leads_to_the_document(library: Library) -> None:
    found = await joined(library, ("a", 2), ("a", 1))
    citer = CitationChecker(found)
    events = [*await citer.feed("The pump weighs 40 kg [1]."), *await citer.finish()]
    (citation,) = (event for event in events if isinstance(event, Citation))
    assert citation.verified
    store = await library.store("default")
    assert store.text("a", citation.quote_start, citation.quote_end) == citation.quote
    assert TEXTS[2] in citation.quote


async def test_none_grows_past_its_bound(library: Library) -> None:
    found = await joined(library, *(("a", n) for n in range(5)), most_chars=45)
    assert [passage.chunk.text for passage in found] == ["\n\n".join(TEXTS[:2]), "\n\n".join(TEXTS[2:4]), TEXTS[4]]


async def test_what_stands_apart_stays_apart(library: Library) -> None:
    assert await joined(library, ("a", 0), ("b", 1), ("a", 2)) == await passages(library, ("a", 0), ("b", 1), ("a", 2))


async def test_a_document_that_was_replaced_meanwhile_is_left_as_it_was_found(library: Library) -> None:
    before = await passages(library, ("a", 0), ("a", 1))
    store = await library.store("default")
    store.put([item("a", "Something else by now.")])
    assert await join(library, "default", before, 1000) == before


async def test_an_answer_from_whole_passages_has_them_joined(stack: Stack, tmp_path: Path) -> None:
    whole = {"evidence_sentences": 0, "prompt": "answer", "min_score": None}
    settings = settings_over(stack, tmp_path, ask=whole, index={"chunk_tokens": 16})
    text = "\n\n".join(f"Pump P-{n} was replaced in {1990 + n} by the engineer Ana Ruiz." for n in range(4))
    async with serving(settings) as http:
        await add(http, "pumps", text)
        sources = (await http.post("/ask", json={"question": "Who replaced the pumps?"})).json()["sources"]
        apart = (await http.post("/search", json={"query": "Who replaced the pumps?"})).json()["results"]
    assert len(apart) > len(sources) == 1
    assert sources[0]["text"] == text[sources[0]["start"] : sources[0]["end"]] == text
