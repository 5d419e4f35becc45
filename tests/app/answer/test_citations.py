"""Citations: whatever the pieces a model writes in, markers are checked and quotes lead back to the document."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answer.citations import Citation, CitationChecker, Grounding
from app.answer.passages import Fused, Passage
from indexing.document import StoredChunk

FRANCE = "Paris is the capital of France. It has 2.1 million people."
GERMANY = "Berlin, Germany's capital, lies on the Spree. The U.S. embassy is there."


def passage(index: int, text: str, start: int = 100) -> Passage:
    chunk = StoredChunk(index, "doc", 0, text, start, start + len(text), None, "", "source", "title", {})
    return Passage(index, chunk, Fused(index, 0.1, 0.9, 3.0), 1, 4.0, 0.98)


PASSAGES = [passage(1, FRANCE), passage(2, GERMANY, start=500)]


def read(text: str, *, step: int = 4, grounding: Grounding = "mark", question: str = "") -> tuple[str, list[Citation]]:
    citer = CitationChecker(PASSAGES, question, grounding)

    async def fed() -> list[str | Citation]:
        events = [event for at in range(0, len(text), step) for event in await citer.feed(text[at : at + step])]
        return events + await citer.finish()

    events = asyncio.run(fed())
    written = "".join(event for event in events if isinstance(event, str))
    assert written == citer.answer
    return written, [event for event in events if isinstance(event, Citation)]


@pytest.mark.parametrize(
    ("model_wrote", "answer"),
    [
        ("The capital of France is Paris.", "The capital of France is Paris [1]."),
        ("Berlin lies on the Spree [2].", "Berlin lies on the Spree [2]."),
        ("Berlin lies on the Spree. [2] Paris is in France.", "Berlin lies on the Spree [2]. Paris is in France [1]."),
        ("Cats fly [9] to the moon.", "Cats fly to the moon."),
        ("It has 3.1 million people.", "It has 3.1 million people."),
        (
            "- Paris is the capital\n- Berlin lies on the Spree",
            "- Paris is the capital [1]\n- Berlin lies on the Spree [2]",
        ),
        ("Paris [1, 2] is the capital.", "Paris is the capital [1]."),
        ("Paris is the capital of France [2].", "Paris is the capital of France [1]."),
        ("Rome is in Italy [1-2].", "Rome is in Italy [1] [2]."),
        ("Berlin lies on the Spree 【2†source】.", "Berlin lies on the Spree [2]."),
        ("Berlin lies on the Spree [Source 2].", "Berlin lies on the Spree [2]."),
        ("The U.S. embassy is there.", "The U.S. embassy is there [2]."),
        (
            "1. Paris is the capital.\n2. It has 2.1 million people.",
            "1. Paris is the capital [1].\n2. It has 2.1 million people [1].",
        ),
        ("```\nx[1] = a. B [2]\n```\nParis is the capital.", "```\nx[1] = a. B [2]\n```\nParis is the capital [1]."),
        ("Call `f(x)[1]. G` now.", "Call `f(x)[1]. G` now."),
        ("See https://a.example/x[1].html now.", "See https://a.example/x[1].html now."),
        ("| Paris | France |\n|---|---|\n| a. B | [1] |", "| Paris | France |\n|---|---|\n| a. B | [1] |"),
        ("首都はパリです。人口は多い。", "首都はパリです。人口は多い。"),
        ("x[0] = y[10] is code.", "x[0] = y[10] is code."),
        ("Paris is the capital[1].", "Paris is the capital [1]."),
        ("", ""),
    ],
)
def test_markers(model_wrote: str, answer: str) -> None:
    assert read(model_wrote)[0] == answer


def test_a_citation_leads_from_the_claim_to_its_place_in_the_document() -> None:
    answer, (citation,) = read("Yes. Berlin lies on the Spree.")
    assert answer[citation.start : citation.end] == "Berlin lies on the Spree"
    assert citation.index == 2
    assert citation.verified
    assert citation.quote == "Berlin, Germany's capital, lies on the Spree."
    assert GERMANY[citation.quote_start - 500 : citation.quote_end - 500] == citation.quote


def test_a_marker_at_a_passage_that_does_not_say_so_is_kept_and_not_verified() -> None:
    _, (citation,) = read("Rome is the capital of Italy [1].")
    assert (citation.index, citation.verified) == (1, False)


def test_strict_ends_the_answer_where_the_passages_do_not_carry_it() -> None:
    assert read("Paris is the capital of France. Cats fly. It has 2.1 million people.", grounding="strict")[0] == (
        "Paris is the capital of France [1]."
    )
    assert read("It has 3.1 million people.", grounding="strict") == ("", [])


def test_strict_drops_a_sentence_that_only_repeats_the_question() -> None:
    wrote = "Paris is the capital of France."
    assert read(wrote, grounding="strict", question="Is Paris the capital of France?")[0] == ""
    assert (
        read(wrote, grounding="strict", question="What is the capital of France?")[0]
        == "Paris is the capital of France [1]."
    )


def test_repair_drops_what_no_passage_carries_and_what_leans_on_it() -> None:
    wrote = "Paris is the capital of France. Cats fly. They have 2.1 million people. Berlin lies on the Spree."
    assert read(wrote, grounding="repair")[0] == "Paris is the capital of France [1]. Berlin lies on the Spree [2]."
    assert read("Cats fly.", grounding="repair") == ("", [])


@given(st.text(alphabet="ab.[]12, \n?", max_size=60), st.integers(1, 7), st.sampled_from(["mark", "strict", "repair"]))
def test_the_pieces_make_no_difference(text: str, step: int, grounding: Grounding) -> None:
    assert read(text, step=step, grounding=grounding) == read(text, step=max(len(text), 1), grounding=grounding)


@given(st.text(alphabet="Paris capital.[]12 \n", max_size=80))
def test_every_marker_of_an_answer_names_a_passage_and_every_span_lies_in_it(text: str) -> None:
    answer, citations = read(text)
    for citation in citations:
        assert citation.index in {1, 2}
        assert 0 <= citation.start <= citation.end <= len(answer)
        assert f" [{citation.index}]" in answer[citation.end :]
