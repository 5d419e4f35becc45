"""Tokens equal to those of the tokenizers library, cut as transformers cuts; errors in vLLM's words."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.encoder.tokenizer import Tokenizer, Truncation
from services.errors import BadRequestError

TEXT = st.text(max_size=200) | st.lists(
    st.sampled_from(["Paris", "rivière", "hello-world", "3.14", "[SEP]", "日本", "##x"])
).map(" ".join)


@pytest.fixture(scope="module")
def ours(score_folder: Path) -> Tokenizer:
    return Tokenizer.load(score_folder, max_model_len=512)


@pytest.fixture(scope="module")
def theirs(score_folder: Path) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer.from_file(str(score_folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=st.tuples(TEXT, TEXT), limit=st.integers(3, 80), side=st.sampled_from(["left", "right"]))
def test_pairs_are_joined_and_cut_as_the_library_does(ours, theirs, pair, limit, side):
    theirs.enable_truncation(limit, direction=side)
    expected = theirs.encode(*pair)
    [_, [tokens]] = ours.encode_pairs([pair[0]], [pair[1]], Truncation(limit, side))
    assert (tokens.ids.tolist(), tokens.types.tolist()) == (expected.ids, expected.type_ids)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT, limit=st.integers(2, 40), side=st.sampled_from(["left", "right"]))
def test_single_texts_too(ours, theirs, text, limit, side):
    theirs.enable_truncation(limit, direction=side)
    assert ours.encode([text], Truncation(limit, side))[0].ids.tolist() == theirs.encode(text).ids


def test_a_document_is_cut_to_its_own_limit(ours):
    cut = Truncation(per_document=3, per_query=2)
    [_, [tokens]] = ours.encode_pairs(["one two three four"], ["five six seven eight nine"], cut)
    assert ours.decode(tokens.ids.tolist()) == "[CLS] one two [SEP] five six seven [SEP]"


def test_within_a_limit_of_its_own_only_the_document_gives_way(ours):
    cut = Truncation(limit=8, per_document=30)
    [_, [tokens]] = ours.encode_pairs(["one two three"], ["five " * 40], cut)
    assert ours.decode(tokens.ids.tolist()) == "[CLS] one two three [SEP] five five [SEP]"


def test_too_long_says_so_in_vllms_words(ours):
    with pytest.raises(BadRequestError) as caught:
        ours.encode(["word " * 600], Truncation())
    assert str(caught.value) == (
        "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, "
        "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
        "(parameter=input_tokens, value=513)"
    )
    assert caught.value.param == "input_tokens"


def test_far_too_long_is_refused_before_it_is_tokenized(ours):
    with pytest.raises(BadRequestError, match="contains 500000 characters") as caught:
        ours.encode(["x" * 500_000], Truncation())
    assert caught.value.param == "input_text"


def test_ids_out_of_the_vocabulary(ours):
    with pytest.raises(BadRequestError, match="Token id -1 is out of vocabulary"):
        ours.encode_ids([[101, -1]], Truncation())
    with pytest.raises(BadRequestError, match="Token id 30522 is out of vocabulary"):
        ours.encode_ids([[30522]], Truncation())


def test_a_lone_surrogate_is_the_clients_fault(ours):
    with pytest.raises(BadRequestError, match="surrogate"):
        ours.encode(["\ud800"], Truncation())
    with pytest.raises(BadRequestError, match="surrogate"):
        ours.shortened(["\ud800"], [5], "right")


def test_a_limit_beyond_the_model_is_refused(ours):
    with pytest.raises(BadRequestError, match="truncate_prompt_tokens value is greater than max_model_len"):
        ours.limit(513)
