from app.answer.support import says_more, sentences, support

FRANCE = "Paris is the capital of France. It has 2.1 million people."


def test_support_wants_the_numbers_too() -> None:
    assert support("It has 2.1 million people", FRANCE).share == 1.0
    assert support("It has 3.1 million people", FRANCE).share == 0.0
    assert support("", FRANCE).share == 0.0


def test_support_may_span_two_sentences() -> None:
    found = support("Paris has 2.1 million people", FRANCE)
    assert found.share == 1.0
    assert FRANCE[found.start : found.end] == FRANCE


def test_sentences_are_split_at_their_ends_and_at_lines() -> None:
    text = "One is 3.5 long. Two?\n- three\n\n  Four"
    assert [text[a:b] for a, b in sentences(text)] == ["One is 3.5 long.", "Two?", "three", "Four"]


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
    assert [" ".join(text[a:b].split()) for a, b in sentences(text)] == [
        "Pumps of the northern plant, all of them here",
        "The pump in hall 4 was replaced by Ana Ruiz in *March* 2024.",
        "Its limit is 8 bar.",
        "Every valve is opened once a week, by two of the people on duty.",
        "short",
        "| a row of a table | that is as wide as these |",
        "| 12 | 13 |",
    ]
    assert len(sentences("Paris\nBerlin\nMadrid")) == 3


def test_says_more() -> None:
    quote = "France took control of Algeria in 1830."
    assert says_more("France took Algeria in 1830", "When did France take Algeria?", quote)
    assert not says_more("The captain of the team [1]", "Who is the captain of the team?", quote)
    assert not says_more("The answer is:", "When did France take Algeria?", quote)
