import pytest

from app.answer.codes import codes_asked, codes_in, is_of_another


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Pump P-17, p18 and P 19 are sound.", {"p": {"17", "18", "19"}}),
        ("Article 5.2 of Windows 11", {"article": {"5.2"}, "windows": {"11"}}),
        ("In 2019, About 27 of 30 left; On May 5 it rose 12%.", {}),
        ("The company sold 40 cars within 14 days.", {}),
        ("Office 2019", {}),
        ("", {}),
    ],
)
def test_the_numbered_names_of_a_text(text: str, codes: dict[str, set[str]]) -> None:
    assert codes_in(text) == codes


@pytest.mark.parametrize(
    ("question", "text", "other"),
    [
        ("Who replaced pump P-99?", "Pump P-17 was replaced by Ana.", True),
        ("Who replaced pump p99?", "Pump P-17 was replaced by Ana.", True),
        ("Who replaced pump 99?", "Pump 17 was replaced by Ana.", True),
        ("What does Article 6 say?", "Article 5 says that; Article 7 says this.", True),
        ("Who replaced pump P-17?", "Pump P 17 was replaced by Ana.", False),
        ("Who replaced P-99 or P-17?", "Pump P-17 was replaced by Ana.", False),
        ("Who replaced pump P-99?", "The pump was replaced by Ana.", False),
        ("Is it over 8 bar?", "The limit is 6 bar. Over 5 is too much.", False),
        ("Can I return it within 30 days?", "Within 14 days you can.", False),
        ("What happened in 2020?", "In 2019 it rained.", False),
    ],
)
def test_a_text_of_another_number_of_the_kind_is_told(question: str, text: str, *, other: bool) -> None:
    assert is_of_another(text, codes_asked(question, codes_in(text))) == other
