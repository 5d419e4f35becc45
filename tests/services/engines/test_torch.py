"""The torch engine against transformers itself, one family after another, on small models with random weights.

Inputs of many lengths go into one forward, and each must come out as transformers reads it alone; see CONTRIBUTING.
"""

import math
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from services.encoder.open import open_model
from services.encoder.tokenizer import Tokenizer, Truncation
from services.errors import BadRequestError
from services.presets import Preset
from services.score.score_template import ScoreTemplate
from services.settings import EncoderSettings
from services.weights.checkpoint import read_checkpoint

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")
sys.path.insert(0, str(Path(__file__).parent))
import tiny  # noqa: E402

from services.engines.encoder.torch import TorchEncoder  # noqa: E402

QUERY = "what is the capital of France"
DOCUMENTS = [*tiny.SENTENCES, "Paris", "the " * 20, "x"]
TOLERANCE = 1e-4
PADDED = {"deberta", "Gemma2"}
"""Families whose attention cannot be cut at the bounds of inputs."""


def encoder(folder, *, preset=None, kind=None):
    checkpoint = read_checkpoint(folder, preset=preset, kind=kind)
    tokenizer = Tokenizer.load(folder, max_model_len=checkpoint.max_model_len)
    return TorchEncoder(checkpoint, device="cpu", dtype="auto", pad_id=tokenizer.pad_id, threads=1), tokenizer


def config(kind, **more):
    sizes = tiny.SIZE if kind is not transformers.GPT2Config else {}
    return kind(
        vocab_size=400, pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=80, **sizes, **more
    )


def in_any_company(engine, inputs):
    """The rows, which are the same in another order, in other batches, and alone."""
    rows = engine.forward(inputs)
    assert engine.forward(inputs[::-1])[::-1] == pytest.approx(rows, abs=TOLERANCE)
    assert np.concatenate([engine.forward(inputs[:3]), engine.forward(inputs[3:])]) == pytest.approx(
        rows, abs=TOLERANCE
    )
    assert np.concatenate([engine.forward([each]) for each in inputs]) == pytest.approx(rows, abs=TOLERANCE)
    return rows


CROSS_ENCODERS = {
    "bert": (transformers.BertForSequenceClassification, transformers.BertConfig, {}),
    "xlm-roberta": (
        transformers.XLMRobertaForSequenceClassification,
        transformers.XLMRobertaConfig,
        {"type_vocab_size": 1},
    ),
    "modernbert": (
        transformers.ModernBertForSequenceClassification,
        transformers.ModernBertConfig,
        {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 16, "classifier_pooling": "cls"},
    ),
    "modernbert by its mean": (
        transformers.ModernBertForSequenceClassification,
        transformers.ModernBertConfig,
        {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 8, "classifier_pooling": "mean"},
    ),
    "roberta": (transformers.RobertaForSequenceClassification, transformers.RobertaConfig, {"type_vocab_size": 1}),
    "camembert": (
        transformers.CamembertForSequenceClassification,
        transformers.CamembertConfig,
        {"type_vocab_size": 1},
    ),
    "distilbert": (transformers.DistilBertForSequenceClassification, transformers.DistilBertConfig, {}),
    "deberta": (
        transformers.DebertaV2ForSequenceClassification,
        transformers.DebertaV2Config,
        {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    ),
    "electra": (transformers.ElectraForSequenceClassification, transformers.ElectraConfig, {"embedding_size": 32}),
}


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("family", CROSS_ENCODERS)
def test_cross_encoders_and_classifiers(tmp_path, family, labels):
    kind, config_kind, more = CROSS_ENCODERS[family]
    fast = tiny.tokenizer(tmp_path, frame=True, segments=family in ("bert", "electra"))
    model = tiny.saved(kind(config(config_kind, num_labels=labels, **more)), tmp_path)
    ours, tokenizer = encoder(tmp_path)
    assert ours.padding_free == (family not in PADDED)
    rows = in_any_company(ours, list(chain(*tokenizer.encode_pairs([QUERY], DOCUMENTS, Truncation(limit=64)))))
    assert rows.shape == (len(DOCUMENTS), labels)
    with torch.no_grad():
        for document, row in zip(DOCUMENTS, rows, strict=True):
            segments = family in ("bert", "electra")
            inputs = fast(
                QUERY, document, return_tensors="pt", truncation=True, max_length=64, return_token_type_ids=segments
            )
            assert row == pytest.approx(model(**inputs).logits[0].numpy(), abs=TOLERANCE)


KEYS = {
    "cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken", "max": "max_tokens",
    "weightedmean": "weightedmean_tokens", "mean_sqrt_len": "mean_sqrt_len_tokens",
}  # fmt: skip


@pytest.mark.parametrize("pooling", KEYS)
def test_embedders_pool_as_their_folder_says(tmp_path, pooling):
    fast = tiny.tokenizer(tmp_path, frame=True)
    model = tiny.saved(transformers.BertModel(config(transformers.BertConfig)), tmp_path)
    tiny.write_config(tmp_path, "1_Pooling/config.json", {f"pooling_mode_{KEYS[pooling]}": True})
    ours, tokenizer = encoder(tmp_path)
    rows = in_any_company(ours, tokenizer.encode(DOCUMENTS, Truncation()))
    with torch.no_grad():
        for document, row in zip(DOCUMENTS, rows, strict=True):
            hidden = model(**{k: v for k, v in fast(document, return_tensors="pt").items() if k != "token_type_ids"})
            states = hidden.last_hidden_state[0]
            places = torch.arange(1, len(states) + 1)[:, None]
            expected = {
                "cls": states[0],
                "mean": states.mean(dim=0),
                "last": states[-1],
                "max": states.max(dim=0).values,
                "weightedmean": (states * places).sum(dim=0) / places.sum(),
                "mean_sqrt_len": states.sum(dim=0) / len(states) ** 0.5,
            }[pooling]
            assert row == pytest.approx(expected.numpy(), abs=TOLERANCE)


def ettin(folder, labels=1):
    """A folder as sentence-transformers 5.4 writes its modular cross-encoders; the head as torch has it."""
    sizes = {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 16}
    model = tiny.saved(transformers.ModernBertModel(config(transformers.ModernBertConfig, **sizes)), folder)
    head = torch.nn.Sequential(
        torch.nn.Linear(32, 32, bias=False), torch.nn.GELU(), torch.nn.LayerNorm(32), torch.nn.Linear(32, labels)
    )
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.3)
    kinds = ["Transformer", "Pooling", "Dense", "LayerNorm", "Dense"]
    package = "sentence_transformers.base.modules"
    listed = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"{package}.{kind.lower()}.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    tiny.write_config(folder, "modules.json", listed)
    said = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}
    tiny.write_config(folder, "config_sentence_transformers.json", said)
    tiny.write_config(folder, "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": "cls"})
    for place, layer, activation in ((2, head[0], "activation.GELU"), (4, head[3], "linear.Identity")):
        sized = {"in_features": 32, "out_features": layer.out_features, "bias": layer.bias is not None}
        sized |= {"activation_function": f"torch.nn.modules.{activation}", "module_input_name": "sentence_embedding"}
        tiny.write_config(folder, f"{place}_Dense/config.json", sized)
        weights = {f"linear.{name}": weight.detach() for name, weight in layer.named_parameters()}
        safetensors.save_file(weights, folder / f"{place}_Dense" / "model.safetensors")
    tiny.write_config(folder, "3_LayerNorm/config.json", {"dimension": 32})
    weights = {f"norm.{name}": weight.detach() for name, weight in head[2].named_parameters()}
    safetensors.save_file(weights, folder / "3_LayerNorm" / "model.safetensors")
    return model, head


@pytest.mark.parametrize(("labels", "task"), [(1, "score"), (3, "classify")])
def test_modular_cross_encoders(tmp_path, labels, task):
    fast = tiny.tokenizer(tmp_path, frame=True)
    model, head = ettin(tmp_path, labels)
    opened = open_model(EncoderSettings(model=str(tmp_path), engine="torch", device="cpu"), tmp_path)
    assert (opened.checkpoint.kind, opened.checkpoint.activation) == (task, "identity")
    assert len(opened.checkpoint.labels) == opened.batcher.width == labels
    tokens = list(chain(*opened.tokenizer.encode_pairs([QUERY], DOCUMENTS, Truncation(limit=64))))
    rows = in_any_company(opened.batcher._encoder, tokens)
    with torch.no_grad():
        for document, row in zip(DOCUMENTS, rows, strict=True):
            pair = fast(QUERY, document, return_tensors="pt", truncation=True, max_length=64)
            states = model(input_ids=pair.input_ids, attention_mask=pair.attention_mask).last_hidden_state
            assert row == pytest.approx(head(states[0, 0]).numpy(), abs=TOLERANCE)


def test_a_modular_cross_encoder_is_served_as_one(tmp_path, launch):
    tiny.tokenizer(tmp_path, frame=True)
    ettin(tmp_path)
    served = launch(str(tmp_path), "--engine", "torch", "--device", "cpu")
    with served.client() as client:
        answer = client.post("/v1/score", json={"text_1": "a", "text_2": ["cat", "dog"]}).json()
        assert (answer["score_scale"], len(answer["data"])) == ("logit", 2)
        assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 404


def test_a_decoder_embeds_by_its_last_token(tmp_path):
    fast = tiny.tokenizer(tmp_path, frame=False)
    sizes = {"num_key_value_heads": 2, "head_dim": 8}
    model = tiny.saved(transformers.Qwen3ForCausalLM(config(transformers.Qwen3Config, **sizes)), tmp_path)
    ours, tokenizer = encoder(tmp_path, kind="embed")
    rows = in_any_company(ours, tokenizer.encode(DOCUMENTS, Truncation()))
    with torch.no_grad():
        for document, row in zip(DOCUMENTS, rows, strict=True):
            states = model.model(input_ids=fast(document, return_tensors="pt").input_ids).last_hidden_state
            assert row == pytest.approx(states[0, -1].numpy(), abs=TOLERANCE)


DECODERS = {
    "Llama": {},
    "Qwen2": {},
    "Phi3": {},
    "Mistral": {"sliding_window": 6},
    "Gemma2": {"sliding_window": 6},
}


@pytest.mark.parametrize("kind", DECODERS)
def test_reward_models_and_other_decoders_with_a_head(tmp_path, kind):
    fast = tiny.tokenizer(tmp_path, frame=False)
    sizes = {"num_key_value_heads": 2, "head_dim": 8, "num_labels": 1} | DECODERS[kind]
    made = getattr(transformers, f"{kind}ForSequenceClassification")(
        config(getattr(transformers, f"{kind}Config"), **sizes)
    )
    model = tiny.saved(made, tmp_path)
    ours, tokenizer = encoder(tmp_path)
    assert ours.padding_free == (kind not in PADDED)
    rows = in_any_company(ours, tokenizer.encode(DOCUMENTS, Truncation()))
    with torch.no_grad():
        for document, row in zip(DOCUMENTS, rows, strict=True):
            expected = model(input_ids=fast(document, return_tensors="pt").input_ids).logits[0]
            assert row == pytest.approx(expected.numpy(), abs=TOLERANCE)


def preset(folder, **fields):
    return Preset(
        name="tiny", model="test/tiny", task="score", source=str(folder), files=("*",), licence="MIT", parameters=1,
        max_model_len=64, note="", score_scale="probability", **fields,
    )  # fmt: skip


BY_TOKEN = {
    "qwen3": ("Qwen3", "qwen3-reranker.jinja", ("no", "yes")),
    "gemma": ("Gemma", "bge-reranker-v2.jinja", ("Yes",)),
}


@pytest.mark.parametrize("family", BY_TOKEN)
def test_decoders_scored_by_a_token(tmp_path, family):
    kind, template, tokens = BY_TOKEN[family]
    fast = tiny.tokenizer(tmp_path, frame=False)
    sizes = {"num_key_value_heads": 2, "head_dim": 8}
    made = getattr(transformers, f"{kind}ForCausalLM")(config(getattr(transformers, f"{kind}Config"), **sizes))
    model = tiny.saved(made, tmp_path)
    how = preset(tmp_path, score_template=template, classifier_from_token=tokens, instruction="Judge.").model_copy(
        update={"max_model_len": 1024}
    )
    tiny.write_config(tmp_path, "tokenizer_config.json", {"pad_token": "<pad>"})
    tiny.write_config(tmp_path, "config.json", {**made.config.to_dict(), "max_position_embeddings": 1024})
    ours, tokenizer = encoder(tmp_path, preset=how)
    prompts = ScoreTemplate.of(how)
    rows = in_any_company(ours, list(chain(*prompts.encode(tokenizer, [QUERY], DOCUMENTS, Truncation(), {}))))
    ids = fast.convert_tokens_to_ids(list(tokens))
    with torch.no_grad():
        for document, row in zip(DOCUMENTS, rows, strict=True):
            prompt = prompts.render(QUERY, document, {})
            logits = model(input_ids=fast(prompt, return_tensors="pt").input_ids).logits[0, -1]
            expected = logits[ids[1]] - logits[ids[0]] if len(ids) == 2 else logits[ids[0]]
            assert row[0] == pytest.approx(expected.item(), abs=TOLERANCE)


def test_a_decoder_without_template_and_tokens_is_refused(tmp_path):
    tiny.tokenizer(tmp_path, frame=False)
    sizes = {"num_key_value_heads": 2, "head_dim": 8}
    tiny.saved(transformers.Qwen3ForCausalLM(config(transformers.Qwen3Config, **sizes)), tmp_path)
    with pytest.raises(BadRequestError, match="near random"):
        encoder(tmp_path, kind="score")


def test_layerwise_minicpm_is_llama_with_its_factors_folded_in(tmp_path):
    """Against MiniCPM's own arithmetic, done here step by step with Llama's layers."""
    tiny.tokenizer(tmp_path, frame=False)
    base = transformers.LlamaModel(config(transformers.LlamaConfig, num_key_value_heads=2))
    tiny.saved(base, tmp_path)
    start, read, emb, depth, model_base = 2, 2, 7.0, 1.4, 16
    heads = [torch.randn(1, 32) for _ in range(start, 4)]
    state = {f"model.{name}": weight.contiguous() for name, weight in base.state_dict().items()}
    state |= {f"lm_head.{i}.linear_head.weight": head for i, head in enumerate(heads)}
    safetensors.save_file(state, tmp_path / "model.safetensors")
    described = {
        **base.config.to_dict(), "architectures": ["LayerWiseMiniCPMForCausalLM"], "model_type": "minicpm",
        "start_layer": start, "head_multi": True, "head_type": "simple", "scale_emb": emb, "scale_depth": depth,
        "dim_model_base": model_base,
    }  # fmt: skip
    tiny.write_config(tmp_path, "config.json", described)
    how = preset(tmp_path, score_template="bge-reranker-v2.jinja", classifier_layer=read, remote_code=True)
    ours, tokenizer = encoder(tmp_path, preset=how)
    tokens = tokenizer.encode(DOCUMENTS, Truncation())
    rows = in_any_company(ours, tokens)
    branch = depth / math.sqrt(3)
    with torch.no_grad():
        for each, row in zip(tokens, rows, strict=True):
            hidden = base.embed_tokens(torch.from_numpy(each.ids)[None]) * emb
            places = torch.arange(len(each))[None]
            turned = base.rotary_emb(hidden, places)
            mask = torch.full((len(each), len(each)), -torch.inf).triu(1)[None, None]
            for layer in base.layers[:read]:
                attended, _ = layer.self_attn(
                    hidden_states=layer.input_layernorm(hidden), position_embeddings=turned, attention_mask=mask
                )
                hidden = hidden + attended * branch
                hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden)) * branch
            expected = base.norm(hidden)[0, -1] / (32 / model_base) @ heads[read - start][0]
            assert row[0] == pytest.approx(expected.item(), rel=1e-3, abs=TOLERANCE)


def test_a_prompt_that_is_too_long_gives_way_in_the_document_only(tmp_path):
    tiny.tokenizer(tmp_path, frame=False)
    tokenizer = Tokenizer.load(tmp_path, max_model_len=300)
    prompts = ScoreTemplate("Q {{ messages[0].content }} D {{ messages[1].content }} END", instruction=None)
    tokens = list(chain(*prompts.encode(tokenizer, [QUERY], ["short", "word " * 500], Truncation(limit=60), {})))
    texts = [tokenizer.decode(each.ids.tolist()) for each in tokens]
    assert texts[0] == f"Q {QUERY} D short END"
    assert texts[1].endswith(" END")
    assert 50 <= len(tokens[1]) <= 60


def test_half_precision_keeps_the_head_in_float32(tmp_path):
    tiny.tokenizer(tmp_path, frame=True)
    model = tiny.saved(
        transformers.XLMRobertaForSequenceClassification(config(transformers.XLMRobertaConfig, num_labels=1)), tmp_path
    )
    checkpoint = read_checkpoint(tmp_path)
    tokenizer = Tokenizer.load(tmp_path, max_model_len=64)
    half = TorchEncoder(checkpoint, device="cpu", dtype="bfloat16", pad_id=0, threads=1)
    full, _ = encoder(tmp_path)
    tokens = list(chain(*tokenizer.encode_pairs([QUERY], DOCUMENTS, Truncation(limit=64))))
    in_half, in_full = half.forward(tokens), full.forward(tokens)
    assert in_half.dtype == np.float32
    assert in_half == pytest.approx(in_full, abs=0.1)
    assert model.num_labels == 1
    as_half = torch.from_numpy(in_half).bfloat16().float().numpy()
    assert (as_half != in_half).any(), "a head in bfloat16 would give only its values"


def test_served_over_http(tmp_path, launch):
    tiny.tokenizer(tmp_path, frame=True)
    tiny.saved(transformers.BertForSequenceClassification(config(transformers.BertConfig, num_labels=3)), tmp_path)
    names = {0: "contradiction", 1: "entailment", 2: "neutral"}
    described = {**read_checkpoint(tmp_path).config, "id2label": names, "label2id": {v: k for k, v in names.items()}}
    tiny.write_config(tmp_path, "config.json", described)
    served = launch(str(tmp_path), "--task", "classify", "--engine", "torch", "--device", "cpu")
    with served.client() as client:
        data = client.post("/classify", json={"input": ["the cat", "the dog"]}).json()["data"]
        assert all(sum(d["probs"]) == pytest.approx(1, abs=1e-5) for d in data)
        assert all(d["label"] == names[int(np.argmax(d["probs"]))] for d in data)
        raw = client.post("/classify", json={"input": "the cat", "use_activation": False}).json()["data"][0]
        assert sum(raw["probs"]) != pytest.approx(1, abs=1e-3)
        assert client.post("/score", json={"text_1": "a", "text_2": "b"}).status_code == 404
