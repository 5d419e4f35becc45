"""What a model writes in place of an answer is found, however it is cut, and never read."""

import pytest

from app.answer.denial import DenialFilter


def read(text: str, size: int) -> tuple[str, bool, bool]:
    """What is passed on of a text that comes in pieces of a size; whether it denies; whether it denies the rest."""
    denial = DenialFilter()
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    passed = "".join(map(denial.feed, pieces)) + denial.finish()
    return passed, denial.denied, denial.denied_more


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 400])
@pytest.mark.parametrize(
    "text",
    [
        "NOT_IN_DOCUMENTS",
        " **NOT_IN_DOCUMENTS**.",
        '"NOT\\_IN\\_DOCUMENTS"',
        "NOT IN DOCUMENTS",
        "Not_in_documents.\n\nThe passages are about leave.",
        "The passages do not say when.",
        "I'm sorry, but the provided passages do not contain any information about pumps.",
        "There is no mention of a lighthouse in the passages.",
        "I don’t know.",
    ],
)
def test_a_denial_is_not_read(text: str, size: int) -> None:
    assert read(text, size) == ("", True, False)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 400])
@pytest.mark.parametrize(
    "text",
    [
        "The pump is not here.",
        "The documents do not say who did it, but Ana Ruiz replaced P-17.",
        "The documents do not say when. Ana Ruiz replaced it.",
        "The documents are not in the cellar.",
        "The information is not secret.",
        "No.",
        "Nothing [1] notable: x[0], `NOT` it, **no**",
    ],
)
def test_an_answer_is_read_as_it_is(text: str, size: int) -> None:
    assert read(text, size) == (text, False, False)


@pytest.mark.parametrize("size", [1, 4, 400])
@pytest.mark.parametrize("end", ["NOT_IN_DOCUMENTS", "**NOT_IN_DOCUMENTS**.", "NOT_IN_DOCU"])
def test_the_token_behind_an_answer_is_taken_out(end: str, size: int) -> None:
    assert read(f"The limit is 8 bar [1]. {end}", size) == ("The limit is 8 bar [1]. ", False, True)
