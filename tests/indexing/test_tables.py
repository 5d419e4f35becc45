"""Chunks of Markdown tables: whole rows, each under the names of its columns and the caption."""

import pytest

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Chunk, Document
from indexing.tables import Tables

HEAD = "| Harbour | Founded | Boats |\n| --- | --- | --- |\n"
ROWS = [f"| Hazel Harbour {n} | {1900 + n} | {n} boats |" for n in range(60)]


def cut(text: str, tokens: int = 60) -> list[Chunk]:
    document = Document("d", "/d.md", "Manual", text, "text/markdown", {}, (), "h")
    chunks, counts = Chunker(ChunkerSettings(tokens, 0, None)).chunks(document)
    assert all(0 < count <= tokens for count in counts)
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    return chunks


def test_each_chunk_of_a_table_names_its_columns_and_has_whole_rows() -> None:
    text = "# Ports\n\nTable 2: Harbours of the north.\n\n" + HEAD + "\n".join(ROWS) + "\n\nThe end of it."
    first, *others = [chunk for chunk in cut(text) if "Hazel" in chunk.text]
    assert first.text.startswith(HEAD)
    assert first.heading == "Manual > Ports > Table 2: Harbours of the north"
    assert len(others) > 10
    assert {c.heading for c in others} == {f"{first.heading}: Harbour | Founded | Boats"}
    assert "\n".join(line for c in (first, *others) for line in c.text.split("\n") if "Hazel" in line) == "\n".join(
        ROWS
    )


def test_a_long_text_above_a_table_gives_its_last_sentence() -> None:
    text = "Words of no use here. " * 20 + "Boats by harbour are as follows:\n\n" + HEAD + "\n".join(ROWS)
    chunks = [chunk for chunk in cut(text) if "Hazel" in chunk.text]
    assert chunks[0].heading == "Manual > Boats by harbour are as follows"
    assert chunks[-1].heading == "Manual > Boats by harbour are as follows: Harbour | Founded | Boats"


def test_a_table_without_outer_pipes() -> None:
    text = "Harbour | Founded\n--- | :---:\n" + "\n".join(f"Hazel {n} | {1900 + n}" for n in range(60))
    assert [c.heading for c in cut(text)][1:] == ["Manual > Harbour | Founded"] * (len(cut(text)) - 1)


def test_a_table_in_a_fence_is_code() -> None:
    text = "```\n" + HEAD + "\n".join(ROWS) + "\n```\n"
    assert {c.heading for c in cut(text)} == {"Manual"}
    inline = "```code```\n\n" + HEAD + "\n".join(ROWS)
    assert cut(inline)[-1].heading == "Manual > Harbour | Founded | Boats"


def test_a_row_longer_than_a_chunk_is_split_and_the_others_are_not() -> None:
    chunks = cut(HEAD + "| Long | " + "word " * 200 + "| 1 |\n" + "\n".join(ROWS))
    assert all(chunk.text.endswith("|") for chunk in chunks if "Hazel" in chunk.text)
    assert {c.heading for c in chunks[1:]} == {"Manual > Harbour | Founded | Boats"}


def test_many_columns_are_shortened() -> None:
    names = "| " + " | ".join(f"column {n}" for n in range(100)) + " |\n" + "|---" * 100 + "|\n"
    rows = "\n".join("| " + " | ".join(["7"] * 100) + " |" for _ in range(9))
    assert 60 < len(cut(names + rows)[-1].heading) < 150


@pytest.mark.parametrize(
    "text", ["|" * 200_000, "|\n-|\n" * 40_000, "| " * 50_000 + "\n" + "-|" * 50_000, "\\|" * 99_999]
)
def test_runs_of_marks_are_found_in_linear_time(text: str) -> None:
    assert list(Tables(text).between(0, len(text))) is not None
