"""What a folder's own files say of it, and which of them are refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from services.engines.encoder.head import HeadedEncoder
from services.engines.encoder.interface import Tokens
from services.errors import BadRequestError
from services.weights.checkpoint import read_checkpoint


def folder(place: Path, *kinds: str, package: str = "sentence_transformers.models", **configs: object) -> Path:
    """An embedder of these modules; configs: of each, by its kind."""
    (place / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    listed = []
    for index, kind in enumerate(["Transformer", *kinds]):
        listed.append({"path": f"{index}_{kind}" if index else "", "type": f"{package}.{kind}"})
        (place / f"{index}_{kind}").mkdir()
        (place / f"{index}_{kind}" / "config.json").write_text(json.dumps(configs.get(kind, {})))
    (place / "modules.json").write_text(json.dumps(listed))
    return place


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_max_tokens": True, "pooling_mode_cls_token": False}, "max"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
        ({"word_embedding_dimension": 8}, "mean"),
    ],
)
def test_the_pooling_is_the_folders(tmp_path, config, pooling):
    assert read_checkpoint(folder(tmp_path, "Pooling", Pooling=config)).pooling == pooling


@pytest.mark.parametrize(
    ("kinds", "package", "configs", "named"),
    [
        (["Pooling"], "sentence_transformers.models", {"pooling_mode": ["cls", "mean"]}, "cls and mean"),
        (["Pooling"], "sentence_transformers.models", {"pooling_mode": "attention"}, "attention"),
        (["Pooling", "LSTM"], "sentence_transformers.models", {}, "LSTM"),
        (["SpladePooling"], "sentence_transformers.models", {}, "SpladePooling"),
        (["Pooling", "Normalize", "Dense"], "sentence_transformers.models", {}, "Normalize, Dense"),
        (["Pooling"], "custom_st", {}, "custom_st"),
    ],
)
def test_what_is_not_served_is_refused_by_name(tmp_path, kinds, package, configs, named):
    with pytest.raises(BadRequestError, match=named):
        read_checkpoint(folder(tmp_path, *kinds, package=package, Pooling=configs))


class Constant:
    """Rows of 1, 2, 3."""

    width, lanes, best_batch_tokens, padding_free = 3, 1, 8, True

    def forward(self, inputs):
        return np.tile(np.array([1, 2, 3], dtype=np.float32), (len(inputs), 1))

    def close(self) -> None: ...


def dense(place: Path, weight: np.ndarray) -> None:
    head = {"linear.weight": {"dtype": "F32", "shape": list(weight.shape), "data_offsets": [0, weight.nbytes]}}
    said = json.dumps(head).encode()
    (place / "model.safetensors").write_bytes(len(said).to_bytes(8, "little") + said + weight.tobytes())


def test_an_embedder_goes_through_its_dense(tmp_path):
    said = {
        "in_features": 3,
        "out_features": 2,
        "bias": False,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    checkpoint = read_checkpoint(folder(tmp_path, "Pooling", "Dense", "Normalize", Dense=said))
    weight = np.array([[0.1, 0, 0], [0, 0.1, 0.1]], dtype=np.float32)
    dense(tmp_path / "2_Dense", weight)
    encoder = HeadedEncoder(Constant(), checkpoint.head)
    assert (checkpoint.kind, checkpoint.normalize, encoder.width) == ("embed", True, 2)
    one = Tokens(np.array([1]), np.array([0]))
    assert encoder.forward([one, one]) == pytest.approx(np.tanh([[0.1, 0.5], [0.1, 0.5]]), abs=1e-6)
    dense(tmp_path / "2_Dense", weight.T.copy())
    with pytest.raises(BadRequestError, match="do not fit"):
        HeadedEncoder(Constant(), checkpoint.head)
