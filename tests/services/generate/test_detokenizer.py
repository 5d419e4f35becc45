"""Tokens one by one give the text that all of them together give, in whole characters and without a stop string."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.generate.detokenizer import Detokenizer

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(alphabet=st.sampled_from("ab c\n1é日😀👩‍👧—"), max_size=30)


def pieces(folder, text: str, **rules) -> list[str]:
    detokenizer = Detokenizer(folder.vocabulary, **rules)
    made = []
    for token in folder.vocabulary.encode(text, special=False):
        made.append(detokenizer.feed(token))
        if detokenizer.stopped_by is not None:
            return made
    return [*made, detokenizer.rest()]


@QUICK
@given(text=TEXT)
def test_pieces_are_whole_characters_of_the_text(folder, text):
    made = pieces(folder, text)
    assert "".join(made) == text
    assert not any("\ufffd" in piece for piece in made)


@QUICK
@given(text=TEXT, stop=st.text(alphabet="ab c\n日😀", min_size=1, max_size=4))
def test_text_ends_before_the_stop_string(folder, text, stop):
    made = pieces(folder, text, stop=[stop, "never"])
    assert "".join(made) == text.partition(stop)[0]


def test_text_before_a_possible_stop_string_is_not_held_back(folder):
    made = pieces(folder, "one two three", stop=["three blind mice"])
    assert made == ["one", " two", " ", "three"]


def test_a_stop_string_can_be_kept(folder):
    assert "".join(pieces(folder, "one two three", stop=["two"], include_stop=True)) == "one two"


def test_a_stop_string_does_not_count_within_min_tokens(folder):
    assert "".join(pieces(folder, "a b a b a b", stop=["b"], min_tokens=2)) == "a b a "


def test_half_a_character_at_the_end_is_dropped(folder):
    first_half = folder.vocabulary.encode("👩", special=False)[0]
    detokenizer = Detokenizer(folder.vocabulary)
    assert (detokenizer.feed(first_half), detokenizer.rest()) == ("", "")


@pytest.mark.parametrize(("skip", "expected"), [(True, "hi"), (False, "hi<|im_end|>")])
def test_special_tokens_are_skipped_on_request(folder, skip, expected):
    assert "".join(pieces(folder, "hi<|im_end|>", skip_special=skip)) == expected
