"""Retrieved text is data: it closes no fence and forges no turn of the conversation."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answer.citations import without_markers
from app.answer.passages import Fused, Passage
from app.answer.prompt import PromptBuilder, Question, attribute, neutral
from app.answer.trace import Trace
from app.settings import AskSettings
from indexing.document import StoredChunk
from services.client import GenerateClient, Message
from services.errors import TooLargeError
from services.settings import EndpointSettings
from tests.conftest import Stack

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
    "</ passage>",
    "< / passage >",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_response>",
    "<extra_id_0>",
    "<unused7>",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[gMASK]",
    "<<SYS>>",
    "<</SYS>>",
    "<bos>",
    "<eos>",
    "<\uff5cbegin▁of▁sentence\uff5c>",
    "<\uff5cUser\uff5c>",
    "<\uff5ctool▁calls▁begin\uff5c>",
    "<|reserved_special_token_12|>",
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
    text = "if a < b | c > d: x[i] = '<b>' # passage 3; vector<size_t> [A] <my-tag>"
    assert neutral(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is safe [1]. Really [2, 3].", "It is safe (1). Really (2, 3)."),
        ("[1] It is safe.[2]", "(1) It is safe.(2)"),
        ("first = rows[1][2]", "first = rows[\u200b1][\u200b2]"),
        ("[n], [] and [2024]", "[n], [] and [2024]"),
    ],
)
def test_a_passage_holds_no_markers_of_ours(text: str, shown: str) -> None:
    assert without_markers(text) == shown


def test_an_attribute_stays_inside_its_quotes() -> None:
    assert attribute('A "title"\n> with <tags>') == "A title with tags"


CONTEXT_TOKENS = 512
PASSAGES = [
    Passage(
        index=index,
        chunk=StoredChunk(index, "d", 0, f"Passage {index} tells of bees.", 0, 26, None, "Bees", "d", "Bees", {}),
        hit=Fused(index, 0.1, None, None),
        rank_before=index,
        logit=0.0,
        score=0.5,
    )
    for index in (1, 2, 3)
]


def turns(count: int) -> tuple[Message, ...]:
    history: list[Message] = [{"role": "system", "content": "Be kind."}]
    for n in range(count):
        history.append({"role": "user", "content": f"question {n}: " + "what do bees do? " * 5})
        history.append({"role": "assistant", "content": f"answer {n}: " + "they make honey. " * 5})
    return tuple(history)


@pytest.mark.anyio
@pytest.mark.parametrize("count", [0, 2, 40])
async def test_the_oldest_turns_make_room_and_the_passages_stay(stack: Stack, count: int) -> None:
    generator = GenerateClient(EndpointSettings(url=stack.addresses["generate"]))
    builder = PromptBuilder(AskSettings(context_tokens=CONTEXT_TOKENS, prompt="answer"), generator)
    trace = Trace.starting(60)
    question = Question("And wasps?", turns(count), {"max_tokens": 64})
    prompt = await builder.build(question, PASSAGES, [], trace)
    assert await generator.count(prompt.messages, deadline=time.monotonic() + 30) <= CONTEXT_TOKENS
    await generator.aclose()
    assert prompt.passages == PASSAGES
    assert all(passage.chunk.text in str(prompt.messages[-1]["content"]) for passage in PASSAGES)
    spoken = [str(message.get("content")).split(":")[0] for message in prompt.messages[1:-1]]
    assert spoken == [f"{who} {n}" for n in range(count - len(spoken) // 2, count) for who in ("question", "answer")]
    assert (len(spoken) < 2 * count) == (count == 40) == bool(trace.warnings)
    assert str(prompt.messages[0]["content"]).endswith("\n\nBe kind.")
    assert [message["role"] for message in prompt.messages].count("system") == 1


@pytest.mark.anyio
async def test_a_question_that_leaves_no_room_is_refused(stack: Stack) -> None:
    generator = GenerateClient(EndpointSettings(url=stack.addresses["generate"]))
    builder = PromptBuilder(AskSettings(context_tokens=CONTEXT_TOKENS, prompt="answer"), generator)
    question = Question("What do bees do? " * 200, turns(2), {"max_tokens": 64})
    with pytest.raises(TooLargeError, match="ask a shorter question"):
        await builder.build(question, PASSAGES, [], Trace.starting(60))
    await generator.aclose()


@pytest.mark.anyio
async def test_the_special_tokens_of_the_served_model_are_broken_up(stack: Stack) -> None:
    generator = GenerateClient(EndpointSettings(url=stack.addresses["generate"]))
    own = await generator.added_tokens(deadline=time.monotonic() + 30)
    assert own - {token for token in own if neutral(token) != token}, "tokens that no known form covers"
    said = " ".join(sorted(own))
    chunk = replace(PASSAGES[0].chunk, text=said, end=len(said), heading=said)
    builder = PromptBuilder(AskSettings(context_tokens=2048, prompt="answer"), generator)
    history = ({"role": "user", "content": said}, {"role": "assistant", "content": said})
    question = Question(said, history, {"max_tokens": 64})
    prompt = await builder.build(question, [replace(PASSAGES[0], chunk=chunk)], [], Trace.starting(60))
    await generator.aclose()
    written = "".join(str(message["content"]) for message in prompt.messages)
    assert [token for token in own if token in written] == []
    assert written.replace("\u200b", "").count(said) == 4, "heading aside, whose brackets go"
