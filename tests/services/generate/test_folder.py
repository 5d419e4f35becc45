"""What is read off the weights: context, end of sequence, template, and a tokenizer equal to openvino's own."""

import json

import pytest

from services.engines.generator import gguf
from services.engines.generator.openvino_convert import convert_gguf
from services.errors import BadRequestError
from services.generate.folder import read_folder

SAMPLES = [
    "Hello world",
    "  two  spaces\n\nnew 12345 3.14",
    "naïve café 日本語 😀 ünï",
    "<|im_start|>user\nhi<|im_end|>",
    "tabs\tand\r\nCRLF",
    "don't I'll we've",
    "a" * 50,
    "x\u00a0y",
    "👩‍👩‍👧",
    "def f(x):\n    return x+1  # c",
]


def test_a_gguf_file_says_what_it_is(folder):
    assert folder.max_model_len == 8192
    assert folder.eos_token_ids == (2,)
    assert folder.kv_elements == 30 * 2 * 3 * 64
    assert folder.vocabulary.size == 49152


def test_its_tokenizer_is_the_one_that_openvino_makes_of_it(folder):
    genai = pytest.importorskip("openvino_genai")
    theirs = genai.Tokenizer(convert_gguf(folder.weights))
    for text in SAMPLES:
        ids = folder.vocabulary.encode(text, special=False)
        assert ids == theirs.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        assert folder.vocabulary.decode(ids) == text


def test_a_chat_is_written_as_the_model_was_trained_on(folder):
    text = folder.template.render([{"role": "user", "content": "Say hi"}])
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_what_is_no_generator_is_refused(tmp_path):
    with pytest.raises(BadRequestError, match=r"neither a .gguf file nor a config.json"):
        read_folder(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"GGML....")
    with pytest.raises(BadRequestError, match="is not a GGUF file"):
        read_folder(tmp_path)
    (tmp_path / "b.gguf").write_bytes(b"")
    with pytest.raises(BadRequestError, match="2 GGUF files"):
        read_folder(tmp_path)


def test_a_folder_says_it_in_its_json_files(folder, tmp_path):
    gguf.tokenizer(gguf.metadata(folder.weights)).save(str(tmp_path / "tokenizer.json"))
    config = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 128}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = {"eos_token": {"content": "<|im_end|>"}, "chat_template": "{{ messages[0].content }}{{ eos_token }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0], "temperature": 0.6}))
    read = read_folder(tmp_path)
    assert (read.max_model_len, read.eos_token_ids, read.kv_elements) == (128, (2, 0), 2 * 2 * 4 * 16)
    assert read.defaults == {"temperature": 0.6}
    assert read.template.render([{"role": "user", "content": "x"}]) == "x<|im_end|>"


def test_a_gpt2_folder_is_read_in_its_own_names(tmp_path, folder):
    folder.vocabulary._inner.save(str(tmp_path / "tokenizer.json"))
    config = {"n_head": 4, "n_layer": 3, "n_embd": 32, "n_positions": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    read = read_folder(tmp_path)
    assert (read.kv_elements, read.max_model_len) == (3 * 2 * 32, 64)
    (tmp_path / "config.json").write_text(json.dumps({"n_layer": 3}))
    with pytest.raises(BadRequestError, match="num_attention_heads"):
        read_folder(tmp_path)


@pytest.mark.parametrize("kept", [3, 10, 30, 1000, 100_000])
def test_a_gguf_file_that_is_cut_says_so(tmp_path, folder, kept):
    file = tmp_path / "m.gguf"
    with folder.weights.open("rb") as whole:
        file.write_bytes(whole.read(kept))
    with pytest.raises(BadRequestError, match=r"m\.gguf is (cut or broken|not a GGUF file)"):
        read_folder(file)
