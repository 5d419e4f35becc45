import pytest

from app.answer.segments import joined_fragments, sentences


def cut(text: str) -> list[str]:
    return [" ".join(text[start:end].split()) for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is 3.5 long. Two?\n- three\n\n  Four", ["One is 3.5 long.", "Two?", "three", "Four"]),
        ("Dr. J. K. Smith of the U.S. Army left. He did.", ["Dr. J. K. Smith of the U.S. Army left.", "He did."]),
        ("Das war am 3. März, z. B. in Bonn, und die Stadt ist alt. Dann nicht.",
         ["Das war am 3. März, z. B. in Bonn, und die Stadt ist alt.", "Dann nicht."]),
        ("東京は首都です。人口は多い！本当？", ["東京は首都です。", "人口は多い！", "本当？"]),
        ("यह किताब है। वह अच्छा है।", ["यह किताब है।", "वह अच्छा है।"]),
        ("ما هذا؟ هذا كتاب.", ["ما هذا؟", "هذا كتاب."]),
        ("| a. B | c |\n| d | e |", ["| a. B | c |", "| d | e |"]),
        ("1. First. 2nd.\n2) Next", ["First.", "2nd.", "Next"]),
        ("Paris\nBerlin\nMadrid", ["Paris", "Berlin", "Madrid"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_a_wrapped_line_ends_no_sentence() -> None:
    text = (
        "# Pumps of the northern plant, all of them here\n"
        "The pump in hall 4 was replaced by Ana Ruiz in\n"
        "*March* 2024. Its limit is 8 bar.\n"
        "- Every valve is opened once a week, by two of\n"
        "  the people on duty.\n"
        "- short\n"
        "| a row of a table | that is as wide as these |\n"
        "| 12 | 13 |"
    )
    assert cut(text) == [
        "Pumps of the northern plant, all of them here",
        "The pump in hall 4 was replaced by Ana Ruiz in *March* 2024.",
        "Its limit is 8 bar.",
        "Every valve is opened once a week, by two of the people on duty.",
        "short",
        "| a row of a table | that is as wide as these |",
        "| 12 | 13 |",
    ]


def test_short_lines_are_read_together_and_what_stands_by_itself_alone() -> None:
    text = (
        "We invest.\n\n2.5\nkilograms a barrel\ncarbon intensity\n\nCanteen: 5512\nReception: 5500\n\n"
        "Paris\n# Head\nOne line\n- item one\n- item two\n| a | b |"
    )
    assert [text[start:end].replace("\n", "/") for start, end in joined_fragments(text, sentences(text))] == [
        "We invest.",
        "2.5/kilograms a barrel",
        "kilograms a barrel/carbon intensity",
        "2.5/kilograms a barrel/carbon intensity",
        "Canteen: 5512",
        "Reception: 5500",
        "Paris",
        "Head",
        "One line",
        "item one",
        "item two",
        "| a | b |",
    ]


def test_a_long_line_without_a_stop_goes_on_in_the_next_however_much_room_it_had() -> None:
    text = "Each question has a deadline, and each stage a share of it\n(embed 10 %, rerank 25 %): so time is left.\n"
    assert cut(text + "x" * 110) == [text.replace("\n", " ").strip(), "x" * 110]
