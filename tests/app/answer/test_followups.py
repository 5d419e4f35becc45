from typing import Any

import pytest

from app.answer.followups import MAX_WORDS, in_conversation
from app.answer.passages import Query

PUMP = "Who replaced pump P-17?", "Pump P-17 was replaced in March 2024 by Ana Ruiz [12]."


def query(text: str) -> Query:
    return Query(text, "default", None, top_k=100, rerank_depth=32, top_n=5, min_score=None)


def turns(*said: str) -> list[dict[str, Any]]:
    return [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(said)]


def test_the_last_turn_gets_the_words_of_the_turn_before() -> None:
    found = in_conversation(query("And when was it installed?"), turns(*PUMP))
    assert found.text == "And when was it installed? replaced pump P-17 March 2024 Ana Ruiz"
    assert found.forms == [found.text, "And when was it installed?"]


def test_only_the_turn_before_counts() -> None:
    found = in_conversation(query("How tall is it?"), turns(*PUMP, "Who built the tower?", "Thomas Leask built it."))
    assert "P-17" not in found.text
    assert "tower Thomas Leask" in found.text


@pytest.mark.parametrize("history", [(), ("",), ("The pump?", ""), ("And when?",)])
def test_without_words_to_add_the_question_is_searched_as_it_is(history: tuple[str, ...]) -> None:
    asked = query("When was the pump replaced?")
    assert in_conversation(asked, turns(*history)) == asked
    assert asked.forms == [asked.text]


def test_a_system_message_is_no_turn() -> None:
    asked = query("When was it replaced?")
    assert in_conversation(asked, [{"role": "system", "content": "You speak like Admiral Nelson."}]) == asked


@pytest.mark.parametrize("asked", ["And P-99?", "And pump 18?", "What about 2023?"])
def test_a_number_takes_the_place_of_the_numbers_before(asked: str) -> None:
    added = in_conversation(query(asked), turns(*PUMP)).text.removeprefix(asked)
    assert "Ruiz" in added
    assert not any(map(str.isdigit, added))


def test_names_come_before_long_words_and_words_in_their_order() -> None:
    long = " ".join(f"extraordinarily{letter * 3}" for letter in "abcdefghijklmnop")
    added = in_conversation(query("Why?"), turns(f"Is {long} what Bo and T4 said?")).text.split()[1:]
    assert len(added) == MAX_WORDS
    assert added[-2:] == ["Bo", "T4"]
    assert added[0] == "extraordinarilyaaa"


def test_the_sentence_that_stands_for_no_answer_adds_nothing() -> None:
    history = turns("Wer hat die Pumpe ersetzt?", "Die Dokumente beantworten diese Frage nicht.")
    assert in_conversation(query("Und wann?"), history).text == "Und wann? Pumpe ersetzt"
