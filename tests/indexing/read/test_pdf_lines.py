"""PDF text: lines that were broken to fit a width are joined, and others keep their ends."""

from bisect import bisect_right

import pytest

from indexing.chunk import Chunker, ChunkerSettings
from indexing.document import Document
from indexing.read.formats.load import load_bytes
from tests.indexing.read.made_pdf import Drawn, Text, pdf_of

SENTENCES = [
    "The harbour was dredged in the spring of 1958, when the council had found the money that",
    "the work needed, at a cost of $4,200 a month for the whole of the first year. The boats were",
    "moved to the northern quay for as long as it took, which was longer than anybody expected, and",
    "the fishermen were paid for the days that they lost. Nobody has counted what became of the",
    "stones that were taken out of the water. They are said to be under the road.",
]


def lines(*texts: str, top: float = 700, left: float = 72, leading: float = 14) -> list[Text]:
    return [Text(left, top - i * leading, text) for i, text in enumerate(texts)]


def read(*pages: list[Text]) -> Document:
    (document,) = load_bytes(pdf_of(*pages), "a.pdf")
    return document


def test_a_paragraph_is_one_line() -> None:
    assert read(lines(*SENTENCES)).text == " ".join(SENTENCES)


FULL = "All of them came back in the year after that, and not one asked for the money of the lost days."
"""The widest of all lines, and the end of a sentence."""


def test_paragraphs_stay_apart_by_their_distance() -> None:
    for top in (600, 650):
        document = read(lines(*SENTENCES[:3], FULL) + lines(*SENTENCES, top=top - 14))
        assert document.text.split("\n\n") == [" ".join([*SENTENCES[:3], FULL]), " ".join(SENTENCES)]


def test_paragraphs_stay_apart_by_their_indent() -> None:
    indented = [*lines(SENTENCES[0], top=672, left=90), *lines(*SENTENCES[1:], top=658)]
    document = read(lines(SENTENCES[0], FULL) + indented)
    assert document.text.split("\n\n") == [f"{SENTENCES[0]} {FULL}", " ".join(SENTENCES)]


def test_a_line_that_ends_before_the_edge_ends_its_paragraph() -> None:
    document = read(lines("These words were said in the council", *SENTENCES))
    assert [line for line in document.text.split("\n") if line] == [
        "These words were said in the council",
        " ".join(SENTENCES),
    ]


def test_lines_of_two_sizes_are_not_joined() -> None:
    document = read([*lines(*SENTENCES[:2]), Text(72, 674, "of a note below the text", 8)])
    assert document.text.split("\n")[-1] == "of a note below the text"


@pytest.mark.parametrize(
    "kept",
    [
        ["Hazel Harbour Ltd", "12 Long Street", "Springfield IL 62701", "Telephone 02 8063 4100"],
        ["- bring the boat back before the evening of the day on which it was taken from the quay", "- pay"],
        ["1. bring the boat back before the evening of the day on which it was taken from the quay", "2. pay"],
        [f"Boats of the northern quay {'.' * 90} 12", f"Moorings of the south {'.' * 90} 13"],
        ["9 06-15 Transaction Date of the last of the postings to the account of this taxpayer here", "9 17-22 Cycle"],
    ],
)
def test_lines_of_addresses_lists_and_tables_stay(kept: list[str]) -> None:
    document = read(lines(*SENTENCES) + lines(*kept, top=560))
    assert document.text == f"{' '.join(SENTENCES)}\n\n" + "\n".join(kept)


def test_cells_that_stand_apart_are_rows() -> None:
    rows = [
        [Text(72, 700 - 14 * i, f"boat number {i}"), Text(400, 700 - 14 * i, f"moored at {i} quay")] for i in range(5)
    ]
    found = read([text for row in rows for text in row]).text.split("\n")
    assert [" ".join(line.split()) for line in found] == [f"boat number {i} moored at {i} quay" for i in range(5)]


def test_an_item_of_a_list_is_joined_with_its_next_line() -> None:
    item = ["\u2022 bring the boat back before the evening of the day on which it was taken from the", "quay that it"]
    document = read(
        lines(*SENTENCES) + lines(item[0].replace("\u2022", "-"), top=560) + lines(item[1], top=546, left=80)
    )
    assert document.text.endswith("taken from the quay that it")


@pytest.mark.parametrize(
    ("first", "second", "right"),
    [
        ("The whole of the work was then looked at again by the members of the commit-", "tee of", "committee of"),
        ("The whole of the work was then looked at again by a member who was by now well-", "known.", "well-known."),
        ("The whole of the work was then looked at again by those who had been told of COVID-", "19 in", "COVID-19 in"),
        ("The whole of the work was then looked at again by everyone on the far Anglo-", "Saxon", "Anglo-Saxon"),
        (
            "A low place and the cost of it: the work was looked at again, as it had been a low-",
            "cost one",
            "low-cost one",
        ),
    ],
)
def test_a_hyphen_at_the_end_of_a_line_goes_unless_the_word_has_one(first: str, second: str, right: str) -> None:
    assert read(lines(*SENTENCES, first, second)).text.endswith(right)


@pytest.mark.parametrize(
    ("before", "raised", "after", "right"),
    [
        ("There are 10", "6", " cells", "There are 10^6 cells"),
        ("One part in 10", "-4", ", or less", "One part in 10^-4, or less"),
        ("A house of 80 m", "2", " is small", "A house of 80 m^2 is small"),
        ("This was said before", "12", " by others", "This was said before [12] by others"),
        ("It opens on the 1", "st", " of May", "It opens on the 1st of May"),
    ],
)
@pytest.mark.parametrize(("rise", "size"), [(5, 6), (4, 8)])
def test_raised_text_is_a_power_or_a_mark(  # noqa: PLR0917 (two tables of cases)
    before: str, raised: str, after: str, right: str, rise: int, size: int
) -> None:
    shown = f"({before}) Tj {rise} Ts /F1 {size} Tf ({raised}) Tj 0 Ts /F1 12 Tf ({after}) Tj"
    (document,) = load_bytes(pdf_of([Drawn(f"BT /F1 12 Tf 72 700 Td {shown} ET")]), "a.pdf")
    assert document.text == right


def test_lowered_text_stays_beside_its_letters() -> None:
    shown = "(The CO) Tj -2 Ts /F1 8 Tf (2) Tj 0 Ts /F1 12 Tf ( of a car) Tj"
    (document,) = load_bytes(pdf_of([Drawn(f"BT /F1 12 Tf 72 700 Td {shown} ET")]), "a.pdf")
    assert document.text == "The CO2 of a car"


def test_a_line_that_begins_like_a_heading_is_none() -> None:
    document = read(lines("# yum install boats", "Then go on"))
    assert document.text.startswith("\\# yum install boats\n")
    assert document.title == "a"


def test_pages_begin_where_their_text_does() -> None:
    document = read(lines(*SENTENCES), lines("The second page."), lines(*SENTENCES))
    at = document.text.index("The second page.")
    assert document.pages == (0, at, at + len("The second page.\n\n"))
    assert bisect_right(document.pages, document.text.rindex("stones")) == 3


@pytest.mark.parametrize(
    ("first", "second", "right"),
    [
        ("the members of the commit-", "tee of the harbour.", "the members of the committee of the harbour."),
        ("by a member who was well-", "known.", "by a member who was well-known."),
        ("by all who had been there", "in the spring.", "by all who had been there in the spring."),
        ("by all who had been there.", "in the spring.", "by all who had been there.\n\nin the spring."),
        ("by all who had been there", "In the spring.", "by all who had been there\n\nIn the spring."),
    ],
)
def test_a_sentence_goes_on_over_the_end_of_a_page(first: str, second: str, right: str) -> None:
    start = f"The whole of the work was then looked at again {first}"
    document = read(lines(*SENTENCES, start), lines(second), lines("The third page."))
    assert document.text.split("looked at again ")[1] == f"{right}\n\nThe third page."
    assert document.text[document.pages[1] :].split()[0] in [*second.split(), "The"]
    assert document.text[document.pages[2] :] == "The third page."


def test_no_chunk_ends_within_a_sentence() -> None:
    chunks, _ = Chunker(ChunkerSettings(64, 0, None)).chunks(read(lines(*SENTENCES), lines(*SENTENCES)))
    assert len(chunks) > 4
    assert all(chunk.text.rstrip().endswith(".") for chunk in chunks)
