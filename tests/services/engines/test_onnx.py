"""The rewritten graph against the one it was made of: float32 models made here, in the ways that exports spell them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.encoder.open import find_onnx
from services.engines.encoder.interface import Tokens
from services.engines.encoder.onnx import OnnxEncoder
from services.engines.encoder.onnx_graph import rewrite

WORDS, WIDTH, HEADS, LAYERS = 512, 16, 4, 2
RANDOM = np.random.default_rng(7)
INPUTS = [Tokens(RANDOM.integers(0, WORDS, n), RANDOM.integers(0, 2, n)) for n in (1, 2, 7, 40)]


class Graph:
    """A small BERT, node by node. head: "first" takes the first token's row to one logit, "mean" the mean row."""

    def __init__(
        self,
        *,
        head: str | None = None,
        bias: bool = False,
        scale: float = (WIDTH / HEADS) ** 0.5,
        scaled_before: bool = False,
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._bias, self._scale, self._scaled_before = bias, scale, scaled_before
        hidden = self._embeddings()
        for _ in range(LAYERS):
            hidden = self._layer(hidden)
        self._end(hidden, head)

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(RANDOM.normal(0, 0.3, shape).astype(np.float32))

    def constant(self, values: object) -> str:
        array = np.asarray(values)
        name = f"weight_{len(self.weights)}"
        kept = array.astype(np.float32) if array.dtype == np.float64 else array
        self.weights.append(numpy_helper.from_array(kept, name))
        return name

    def linear(self, x: str, columns: int, rows: int = WIDTH) -> str:
        return self.add("Add", self.weight(columns), self.add("MatMul", x, self.weight(rows, columns)))

    def _embeddings(self) -> str:
        words = self.add("Gather", self.weight(WORDS, WIDTH), "input_ids")
        kinds = self.add("Gather", self.weight(2, WIDTH), "token_type_ids")
        mask = self.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        missing = self.add("Sub", self.constant([1.0]), mask)
        wide = self.add("Unsqueeze", missing, self.constant([1, 2]))
        self._mask = self.add("Mul", wide, self.constant([-1e4]))
        return self.add("Add", words, kinds)

    def _heads(self, x: str, order: tuple[int, ...]) -> str:
        split = self.add("Reshape", self.linear(x, WIDTH), self.constant([0, 0, HEADS, WIDTH // HEADS]))
        return self.add("Transpose", split, perm=order)

    def _layer(self, x: str) -> str:
        query, key, value = (self._heads(x, order) for order in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)))
        scale = self.constant([self._scale])
        if self._scaled_before:
            scores = self.add("MatMul", self.add("Div", query, scale), key)
        else:
            scores = self.add("Div", self.add("MatMul", query, key), scale)
        if self._bias:
            scores = self.add("Mul", scores, self.constant(RANDOM.normal(0, 2, (1, HEADS, 1, 1))))
        mixed = self.add("MatMul", self.add("Softmax", self.add("Add", scores, self._mask), axis=-1), value)
        joined = self.add("Reshape", self.add("Transpose", mixed, perm=(0, 2, 1, 3)), self.constant([0, 0, WIDTH]))
        x = self._normed(self.add("Add", self.linear(joined, WIDTH), x))
        inner = self.add("Relu", self.linear(x, 2 * WIDTH))
        return self._normed(self.add("Add", self.linear(inner, WIDTH, 2 * WIDTH), x))

    def _normed(self, x: str) -> str:
        return self.add("LayerNormalization", x, self.weight(WIDTH), self.weight(WIDTH), axis=-1)

    def _end(self, hidden: str, head: str | None) -> None:
        if head == "first":
            hidden = self.linear(self.add("Gather", hidden, self.constant(np.array(0)), axis=1), 1)
        elif head == "mean":
            hidden = self.linear(self.add("ReduceMean", hidden, axes=[1], keepdims=0), 1)
        self.output = hidden

    def save(self, file: Path) -> Path:
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ("n", "length")) for name in names]
        outputs = [helper.make_tensor_value_info(self.output, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "tiny", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, file)
        return file


def original(file: Path, tokens: Tokens) -> np.ndarray:
    """(1, length, width) hidden states, or (1, 1) logits."""
    feeds = {"input_ids": tokens.ids, "attention_mask": np.ones_like(tokens.ids), "token_type_ids": tokens.types}
    return onnxruntime.InferenceSession(file).run(None, {name: array[None] for name, array in feeds.items()})[0]


def encoder(file: Path, pooling: str | None = None) -> OnnxEncoder:
    return OnnxEncoder(file, pooling=pooling, pad_id=0, threads=1)


def operators(data: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(data).graph.node]


@pytest.mark.parametrize("scaled_before", [False, True])
@pytest.mark.parametrize("head", ["first", "mean"])
def test_logits_stay_what_they_were(tmp_path, head, scaled_before):
    file = Graph(head=head, scaled_before=scaled_before).save(tmp_path / "m.onnx")
    rewritten = rewrite(file, first_only=False)
    assert operators(rewritten).count("MultiHeadAttention") == LAYERS
    assert "Softmax" not in operators(rewritten)
    assert ("Slice" in operators(rewritten)) == (head == "first")
    engine = encoder(file)
    assert engine.best_batch_tokens == 1
    for tokens in INPUTS:
        np.testing.assert_allclose(engine.forward([tokens]), original(file, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "last", "max", "weightedmean", "mean_sqrt_len"])
def test_embeddings_stay_what_they_were(tmp_path, pooling):
    file = Graph().save(tmp_path / "m.onnx")
    engine = encoder(file, pooling)
    assert engine.best_batch_tokens == 1
    for tokens in INPUTS:
        hidden = original(file, tokens)[0]
        places = np.arange(1, len(hidden) + 1)[:, None]
        expected = {
            "cls": hidden[0],
            "mean": hidden.mean(axis=0),
            "last": hidden[-1],
            "max": hidden.max(axis=0),
            "weightedmean": (hidden * places).sum(axis=0) / places.sum(),
            "mean_sqrt_len": hidden.sum(axis=0) / len(hidden) ** 0.5,
        }[pooling]
        np.testing.assert_allclose(engine.forward([tokens])[0], expected, rtol=1e-4, atol=1e-5)


def test_only_the_first_token_is_kept_where_only_it_is_read(tmp_path):
    file = Graph().save(tmp_path / "m.onnx")
    assert "Slice" in operators(rewrite(file, first_only=True))
    assert "Slice" not in operators(rewrite(file, first_only=False))


def test_attention_with_a_bias_of_its_own_runs_as_it_is(tmp_path):
    file = Graph(head="first", bias=True).save(tmp_path / "m.onnx")
    assert rewrite(file, first_only=False) is None
    engine = encoder(file)
    for tokens in INPUTS:
        np.testing.assert_allclose(engine.forward([tokens]), original(file, tokens), rtol=1e-4, atol=1e-5)


def test_what_is_another_model_when_rewritten_runs_as_it_is(tmp_path, caplog):
    file = Graph(head="first", scale=0.01).save(tmp_path / "m.onnx")
    assert rewrite(file, first_only=False) is not None
    engine = encoder(file)
    assert "the rewritten graph's rows differ" in caplog.text
    for tokens in INPUTS:
        np.testing.assert_allclose(engine.forward([tokens]), original(file, tokens), rtol=1e-4, atol=1e-5)


def test_a_model_without_attention_is_left_alone(tmp_path):
    graph = Graph()
    graph.nodes = graph.nodes[:3]
    graph.output = graph.nodes[0].output[0]
    assert rewrite(graph.save(tmp_path / "m.onnx"), first_only=True) is None


@pytest.mark.parametrize(("lanes", "threads"), [(1, 0), (2, 1), (8, 1)])
def test_a_second_thread_helps_and_changes_no_bit(score_folder, lanes, threads):
    def running() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    file = find_onnx(score_folder)
    inputs = [Tokens(np.arange(1000, 1000 + n), np.zeros(n, np.int64)) for n in (8, 60, 300)]
    alone = OnnxEncoder(file, pooling=None, pad_id=0, threads=1)
    expected = [alone.forward([each]) for each in inputs]
    before = running()
    encoder = OnnxEncoder(file, pooling=None, pad_id=0, threads=lanes)
    assert (encoder.lanes, running() - before) == (lanes, threads)
    for each, rows in zip(inputs, expected, strict=True):
        np.testing.assert_array_equal(encoder.forward([each]), rows)
