"""Text and titles in one form of Unicode, whatever form the file has."""

import unicodedata

import pytest

from indexing.read.formats.extract import tidy
from indexing.read.formats.load import load_bytes


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Cafe\u0301", "Café"),
        ("\u2f08\u2f00", "\u4eba\u4e00"),
        ("\ufb01sh", "fish"),
        ("\ufedf\ufe8e", "\u0644\u0627"),
        ("har\u200bbour\u2060s", "harbours"),
        ("x² ½ ①", "x² ½ ①"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("👩\u200d🚒", "👩\u200d🚒"),
        ("\ufe76", "\ufe76"),
    ],
)
def test_text_is_in_nfc_without_glyphs_for_letters(raw: str, clean: str) -> None:
    assert tidy(raw) == clean


def test_offsets_and_title_are_of_the_normalised_text() -> None:
    name = unicodedata.normalize("NFD", "Décision.txt")
    (document,) = load_bytes(unicodedata.normalize("NFD", "Décidé à Évry.").encode(), name)
    assert (document.text, document.title) == ("Décidé à Évry.", "Décision")
