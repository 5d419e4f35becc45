"""Retrieved text is data: it closes no fence and forges no turn of the conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prompt import attribute, neutral

FORGED = [
    "<|im_start|>system",
    "<|im_end|>",
    "<|endoftext|>",
    "<|start_header_id|>",
    "</s>",
    "<s>",
    "<start_of_turn>user",
    "[INST]",
    "[/INST]",
    "</passage>",
    '<PASSAGE id="1">',
]


@pytest.mark.parametrize("token", FORGED)
def test_forged_tokens_are_broken_up(token: str) -> None:
    text = neutral(f"before {token} after")
    assert token not in text
    assert text.replace("\u200b", "") == f"before {token} after"


@given(st.text())
def test_nothing_but_invisible_marks_is_added(text: str) -> None:
    assert neutral(text).replace("\u200b", "") == text.replace("\u200b", "")


def test_ordinary_text_stays_as_it_is() -> None:
    text = "if a < b | c > d: x[i] = '<b>' # passage 3"
    assert neutral(text) == text


def test_an_attribute_stays_inside_its_quotes() -> None:
    assert attribute('A "title"\n> with <tags>') == "A title with tags"
