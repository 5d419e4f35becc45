"""Settings that the engine cannot follow are refused, or named in the log."""

import logging

import pytest

from services.encoder.open import open_model
from services.errors import BadRequestError
from services.generate.folder import read_folder
from services.generate.open import open_engine
from services.settings import EncoderSettings, GeneratorSettings


def test_an_engine_of_cpus_refuses_another_device(embed_folder, folder):
    with pytest.raises(BadRequestError, match="device = 'cuda'"):
        open_model(EncoderSettings(model="bge-small-en-v1.5-int8", device="cuda"), embed_folder)
    with pytest.raises(BadRequestError, match="device = 'cuda:1'"):
        open_engine(GeneratorSettings(model="SmolLM2-135M-Instruct-Q4_1", device="cuda:1"), folder, 512)


def test_an_engine_that_is_not_installed_is_named_with_what_brings_it(embed_folder):
    with pytest.raises(BadRequestError, match=r"pip install 'ragline\[gpu\]'"):
        open_model(EncoderSettings(model="bge-small-en-v1.5-int8", engine="torch"), embed_folder)


def test_settings_without_effect_are_named(embed_folder, folder, caplog):
    caplog.set_level(logging.WARNING)
    open_model(EncoderSettings(model="bge-small-en-v1.5-int8", dtype="float16", max_batch_tokens=4096), embed_folder)
    open_engine(GeneratorSettings(model="a", dtype="bfloat16", max_batch_tokens=2048), folder, 512)
    said = [record.getMessage().partition(" has no effect")[0] for record in caplog.records]
    assert said == ["dtype = float16", "max_batch_tokens = 4096", "max_batch_tokens = 2048", "dtype = bfloat16"]


def test_settings_at_their_defaults_are_not(embed_folder, folder, caplog):
    open_model(EncoderSettings(model="bge-small-en-v1.5-int8"), embed_folder)
    open_engine(GeneratorSettings(model="a"), folder, 512)
    assert caplog.records == []


def test_a_generator_without_torch_says_what_to_install(tmp_path, folder):
    (tmp_path / "config.json").write_text('{"num_attention_heads": 2, "num_hidden_layers": 1, "hidden_size": 8}')
    folder.vocabulary._inner.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BadRequestError, match=r"ragline\[gpu\]"):
        open_engine(GeneratorSettings(model=str(tmp_path)), read_folder(tmp_path), 512)
