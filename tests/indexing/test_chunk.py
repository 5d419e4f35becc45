"""Chunks by a real tokenizer that the tests build: exact spans, sizes, pages and headings."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Chunk, Document, passage
from indexing.read.formats.extract import Limits, joined_pages


def words_tokenizer() -> str:
    """Each word and each mark is one token."""
    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))  # noqa: S106
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer.to_str()


WORDS = words_tokenizer()


def document(text: str, media_type: str = "text/markdown", pages: tuple[int, ...] = ()) -> Document:
    return Document("d", "/d.md", "Manual", text, media_type, {}, pages, "h")


def cut(doc: Document, tokens: int, *, overlap: int = 0, tokenizer: str | None = WORDS) -> list[Chunk]:
    chunks, counts = Chunker(ChunkerSettings(tokens, overlap, tokenizer)).chunks(doc)
    assert len(counts) == len(chunks)
    assert all(0 < count <= tokens for count in counts)
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert chunk.text == doc.text[chunk.start : chunk.end]
    return chunks


def test_heading_path_and_boundaries() -> None:
    text = "# Intro\n\n" + "alpha beta. " * 10 + "\n\n## Deep\n\n" + "gamma delta. " * 10 + "\n\n# Next\n\nomega."
    chunks = cut(document(text), 40)
    assert [c.heading for c in chunks] == ["Manual > Intro", "Manual > Intro > Deep", "Manual > Next"]
    assert chunks[1].text.startswith("## Deep")


def test_only_short_sections_share_a_chunk() -> None:
    text = "# Short\n\nAll of it.\n\n# Long\n\n" + "alpha " * 20 + "\n\n# Other\n\n" + "beta " * 20
    first, second = cut(document(text), 100)
    assert (first.text.count("#"), first.heading) == (2, "Manual > Short")
    assert (second.text.count("#"), second.heading) == (1, "Manual > Other")


def test_title_that_is_the_first_heading_is_said_once() -> None:
    (chunk,) = cut(document("# Manual\n\nwords"), 40)
    assert chunk.heading == "Manual"


def test_endless_headings_are_shortened() -> None:
    (chunk,) = cut(document("# " + "very " * 200 + "long\n\nwords"), 500)
    assert len(chunk.heading) < 100
    assert chunk.heading.endswith("very …")


def test_headings_inside_code_are_code() -> None:
    (chunk,) = cut(document("# A\n\n```\n# not a heading\n```\n\nwords"), 60)
    assert chunk.heading == "Manual > A"
    (plain,) = cut(document("# a comment\nx = 1", "text/x-python"), 60)
    assert plain.heading == "Manual"


@pytest.mark.parametrize("inline", ["the king's", 'his "Marcher"', "the paper [4][5]", "**no boat**", "_the_ boat*s*"])
def test_marks_within_a_line_are_no_borders(inline: str) -> None:
    sentence = f"In May of that year {inline} left the harbour and was not seen until June."
    text = "# Boats\n\n" + " ".join([sentence] * 40) + '\n\nHe said "No." She said (or so "they" tell) nothing.'
    chunks = cut(document(text), 40, tokenizer=None)
    assert len(chunks) > 10
    assert all(chunk.text.rstrip().endswith(("June.", "nothing.", '"No."')) for chunk in chunks[1:])


def test_page_of_each_chunk() -> None:
    text, pages = joined_pages(["one " * 30, "two " * 30, "six " * 30], Limits())
    chunks = cut(document(text, "application/pdf", pages), 35)
    assert [(c.page, c.text.split()[0]) for c in chunks] == [(1, "one"), (2, "two"), (3, "six")]


def test_everything_but_blanks_is_in_some_chunk() -> None:
    text = "\n\n".join(f"Paragraph {i} says this and that, at some length." for i in range(500))
    chunks = cut(document(text), 64)
    kept = "".join(c.text for c in chunks)
    assert "".join(kept.split()) == "".join(text.split())


def test_overlap_repeats_the_end() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(100))
    chunks = cut(document(text, "text/plain"), 60, overlap=20)
    assert all(later.start < earlier.end for earlier, later in pairwise(chunks))


@pytest.mark.parametrize("line", ["a" * 300_000, "word " * 60_000, "字" * 100_000])
@pytest.mark.parametrize("tokenizer", [WORDS, None])
def test_one_endless_line(line: str, tokenizer: str | None) -> None:
    chunks = cut(document(line, "text/plain"), 128, tokenizer=tokenizer)
    assert max(len(c.text) for c in chunks) <= 128 * 16
    assert sum(len(c.text.replace(" ", "")) for c in chunks) == len(line.replace(" ", ""))


def test_blanks_have_no_chunks() -> None:
    assert cut(document(" \n\n \t"), 64) == []


def test_passage_is_the_chunk_under_its_heading() -> None:
    assert passage("Manual > A", "words") == "Manual > A\n\nwords"
    assert passage("", "words") == "words"


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("ab.#`|-> \n\té字😀"), max_size=3000),
    tokens=st.integers(4, 60),
    known=st.booleans(),
    media_type=st.sampled_from(["text/markdown", "text/plain"]),
)
def test_any_text_gives_spans_within_bounds(text: str, tokens: int, known: bool, media_type: str) -> None:
    chunks = cut(document(text, media_type), tokens, tokenizer=WORDS if known else None)
    starts = [c.start for c in chunks]
    assert starts == sorted(starts)
