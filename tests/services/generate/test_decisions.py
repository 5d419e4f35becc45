"""/v1/systemone: probabilities are the model's own, a question's answer is its alone, and bad questions are refused."""

import json
import math
import shutil

import pytest

from services.client import GenerateClient
from services.engines.generator import gguf
from services.engines.generator.openvino_convert import convert_gguf
from services.errors import BadRequestError
from services.generate.decisions import label_ids
from services.settings import EndpointSettings

STATE = "The pump P-17 leaks oil at the shaft seal. " * 12
LEAK = {"type": "noul", "instructions": "Does the pump leak?"}
PART = {
    "type": "choice",
    "instructions": "Which part leaks?",
    "criteria": {"seal": "the shaft seal", "motor": None, "pipe": "a pipe"},
}
BADNESS = {"type": "score", "instructions": "How bad is it?", "criteria": ["fine", "bad", "broken"]}


def asked(client, questions, **body):
    answer = client.post("/v1/systemone", json={"state": STATE, "questions": questions, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def label_logprob(client, prompt, label):
    """Of the label as the reply's first token, by /v1/chat/completions."""
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 1, "temperature": 0, "logprobs": True}
    answer = client.post("/v1/chat/completions", json=body | {"structured_outputs": {"choice": [label]}})
    (one,) = answer.json()["choices"][0]["logprobs"]["content"]
    assert one["token"] == label
    return one["logprob"]


def test_probabilities_are_those_of_the_replys_first_token(client):
    prompt = f"{STATE}\n\nQuestion: Does the pump leak?\nyes\nno\nAnswer with yes or no only."
    yes, no = (math.exp(label_logprob(client, prompt, label)) for label in ("yes", "no"))
    answer = asked(client, {"leak": LEAK}, request_id="1", cache_salt=None, priority=None)
    leak = answer["answers"]["leak"]
    assert leak["noul"] == pytest.approx(yes / (yes + no), abs=1e-3)
    assert leak["probabilities"] == {"yes": leak["noul"], "no": pytest.approx(1 - leak["noul"])}
    assert leak["confidence"] == pytest.approx(max(yes, no), abs=1e-3)
    assert answer["diagnostics"]["leak"]["label_mass"] == pytest.approx(yes + no, abs=1e-3)
    assert (answer["id"], answer["object"], answer["model"]) == ("decision-1", "structured_decision", "gen")


def test_each_type_has_vllms_fields(client):
    answers = asked(client, {"leak": LEAK, "part": PART, "bad": BADNESS})["answers"]
    assert list(answers) == ["leak", "part", "bad"]
    assert list(answers["leak"]) == ["type", "noul", "probabilities", "confidence"]
    part, bad = answers["part"], answers["bad"]
    assert list(part) == ["type", "choice", "probabilities", "confidence"]
    assert list(part["probabilities"]) == ["seal", "motor", "pipe"]
    assert part["choice"] == max(part["probabilities"], key=part["probabilities"].get)
    assert list(bad) == ["type", "score", "legend", "probabilities", "confidence"]
    assert bad["legend"] == {"0": "fine", "1": "bad", "2": "broken"}
    assert bad["score"] == pytest.approx(sum(int(level) * p for level, p in bad["probabilities"].items()))
    for each in answers.values():
        assert sum(each["probabilities"].values()) == pytest.approx(1)
        assert 0 < each["confidence"] <= max(each["probabilities"].values())


def test_a_question_is_answered_alike_alone_and_beside_others(client):
    many = {f"q{n}": PART | {"instructions": f"Which part leaks, of pump {n}?"} for n in range(9)}
    together = asked(client, many)
    alone = asked(client, {"q7": many["q7"]})
    assert together["answers"]["q7"]["probabilities"] == pytest.approx(
        alone["answers"]["q7"]["probabilities"], abs=2e-3
    )
    assert together["usage"]["output_tokens"] == 9
    assert together["usage"]["input_tokens"] == pytest.approx(9 * alone["usage"]["input_tokens"])


def test_a_state_of_json_instructions_and_meanings_are_read(client):
    state = {"note": "Füße, 日本"}
    as_json = asked(client, {"q": LEAK}, state=state)
    as_text = asked(client, {"q": LEAK}, state=json.dumps(state, ensure_ascii=False))
    assert as_text["usage"] == as_json["usage"]
    assert as_text["answers"]["q"]["noul"] == pytest.approx(as_json["answers"]["q"]["noul"], abs=1e-3)
    meant = LEAK | {"criteria": {"true": "oil comes out"}}
    prompts = [{"q": LEAK}, {"q": meant}]
    counted = [asked(client, each)["usage"]["input_tokens"] for each in prompts]
    assert counted[1] - counted[0] == 4  # ": oil comes out"
    assert asked(client, {"q": LEAK}, instructions="You inspect pumps.")["usage"]["input_tokens"] != counted[0]


@pytest.mark.anyio
async def test_our_client_reads_our_answers(client, generate_server):
    wire = asked(client, {"leak": LEAK, "part": PART, "bad": BADNESS})["answers"]
    ours = GenerateClient(EndpointSettings(url=generate_server.url, served_model_name="gen"))
    found = await ours.systemone(STATE, {"leak": LEAK, "part": PART, "bad": BADNESS})
    await ours.aclose()
    assert found["leak"].value == pytest.approx(wire["leak"]["noul"], abs=1e-3)
    assert found["part"].value == wire["part"]["choice"]
    assert found["bad"].value == pytest.approx(wire["bad"]["score"], abs=1e-2)
    assert found["bad"].confidence == pytest.approx(wire["bad"]["confidence"], abs=1e-3)


def q(**spec):
    return {"questions": {"q": {"type": "noul", **spec}}}


REFUSED = {
    "no question": ({"questions": {}}, "questions: needs at least one question"),
    "too many": ({"questions": {str(n): LEAK for n in range(65)}}, "questions: at most 64 for this model"),
    "no name": ({"questions": {"": LEAK}}, "string_too_short"),
    "a name that no answer can hold": ({"questions": {"\ud800": LEAK}}, "string_unicode"),
    "a type": (q(type="essay"), "unknown question type 'essay'; supported: ['choice', 'noul', 'score']"),
    "a field": (q(label="x"), "question 'q': unknown field(s) ['label']"),
    "noul": (q(criteria={"maybe": ""}), "noul criteria must be an object with true and false"),
    "a choice of a list": (q(type="choice", criteria=["a"]), "choice criteria must map option names"),
    "no choice": (q(type="choice", criteria={}), "choice criteria must map option names"),
    "27 options": (q(type="choice", criteria=dict.fromkeys(map(str, range(27)))), "at most 26 options for this model"),
    "one level": (q(type="score", criteria=["a"]), "score criteria must be an ordered list of levels"),
    "11 levels": (q(type="score", criteria=list(range(11))), "at most 10 options for this model"),
    "a level twice": (q(type="score", criteria=["a", "a"]), "duplicate option names"),
    "thoughts": (q() | {"chat_template_kwargs": {"enable_thinking": True}}, "thinking must be off"),
    "a picture": (q() | {"images": ["data:image/png;base64,"]}, "the model reads text only"),
    "a priority": (q() | {"priority": 1}, "priority scheduling is not enabled"),
    "a salt": (q() | {"cache_salt": ""}, "must be a non-empty string if provided"),
    "a long state": (q() | {"state": "word " * 9000}, "maximum context length is 8192 tokens"),
    "a surrogate": (q() | {"state": "\ud800"}, "lone surrogate"),
}


@pytest.mark.parametrize(("body", "said"), REFUSED.values(), ids=REFUSED)
def test_bad_questions_are_refused(client, body, said):
    content = json.dumps({"state": STATE, **body})
    answer = client.post("/v1/systemone", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(("before", "labels"), [("e", ["yes"]), ("\n", ["yes", "yes"]), ("\n", ["absolutely not"])])
def test_labels_that_are_not_one_token_each_are_refused(folder, before, labels):
    prompt = folder.vocabulary.encode(before, special=False)
    with pytest.raises(BadRequestError, match="is not one distinct token after this model's chat prompt"):
        label_ids(folder.vocabulary, prompt, labels)
    assert len(label_ids(folder.vocabulary, folder.vocabulary.encode("\n", special=False), ["yes", "no", "A"])) == 3


def test_an_engine_without_logprobs_or_grammars_answers_501(generate_folder, launch, tmp_path):
    (weights,) = generate_folder.glob("*.gguf")
    made = tmp_path / "model"
    shutil.copytree(convert_gguf(weights), made, ignore=shutil.ignore_patterns("openvino_*tokenizer*"))
    pairs = gguf.metadata(weights)
    gguf.tokenizer(pairs).save(str(made / "tokenizer.json"))
    heads = pairs["llama.attention.head_count"]
    config = {
        "num_attention_heads": heads,
        "num_key_value_heads": pairs["llama.attention.head_count_kv"],
        "hidden_size": pairs["llama.embedding_length"],
        "num_hidden_layers": pairs["llama.block_count"],
        "max_position_embeddings": 2048,
        "eos_token_id": 2,
    }
    (made / "config.json").write_text(json.dumps(config))
    with launch(str(made), "--task", "generate").client() as client:
        answer = client.post("/v1/systemone", json={"state": STATE, "questions": {"leak": LEAK}})
        chat = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
    assert chat.status_code == 200
    assert answer.status_code == 501
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("NotImplementedError", 501)
    assert "its engine does not have structure" in error["message"]
