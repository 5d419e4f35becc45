"""Rewrites a transformer's ONNX graph for batches of one input: the same model, about a fifth faster.

    attention     its many operators become onnxruntime's MultiHeadAttention, without a mask
    first token   the last layer computes only the first token where nothing reads the others

`rewrite` returns None for a graph that it does not recognize.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

BETWEEN = frozenset({"Mul", "Div", "Transpose", "Reshape"})
"""Operators between a projection and its attention heads; the fused kernel does their work."""
CONTRIB = "com.microsoft"
FIRST = "ragline_first"


class _UnknownError(Exception):
    """The graph's operators are not those that are expected."""


def rewrite(file: Path, *, first_only: bool) -> bytes | None:
    """The model for `onnxruntime.InferenceSession`, or None. first_only: output the first hidden state only."""
    model = onnx.load(file, load_external_data=False)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        return None  # weights of gigabytes do not fit into one protobuf message
    graph = _Graph(model.graph)
    try:
        attentions = [_fuse(graph, node) for node in graph.of_type("Softmax")]
        if not attentions:
            return None
        _read_first_only(graph, attentions[-1], outputs_too=first_only)
    except (_UnknownError, KeyError, IndexError):
        return None
    graph.drop_unused()
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    data: bytes = model.SerializeToString()
    return data


class _Graph:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.proto = graph
        self.outputs = {output.name for output in graph.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._constants |= {n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant"}
        self._nodes = list(graph.node)
        self._producers = {name: node for node in self._nodes for name in node.output}
        self._consumers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in self._nodes:
            for name in node.input:
                self._consumers[name].append(node)

    def of_type(self, op_type: str) -> list[NodeProto]:
        return [node for node in self._nodes if node.op_type == op_type]

    def producer(self, name: str) -> NodeProto:
        """Raises KeyError for inputs and weights."""
        node: NodeProto = self._producers[name]
        return node

    def consumers(self, name: str) -> list[NodeProto]:
        """The nodes that read the tensor's values, not only its shape."""
        return [node for node in self._consumers[name] if node.op_type != "Shape"]

    def is_computed(self, name: str) -> bool:
        """Not a weight, a constant, or an input."""
        return name in self._producers and name not in self._constants

    def is_scale(self, name: str) -> bool:
        """A single number, or computed from a shape."""
        return self.is_computed(name) or len(self.constant(name)) == 1

    def constant(self, name: str) -> list[Any]:
        """Its values. Raises KeyError for a name that is no constant."""
        values: list[Any] = numpy_helper.to_array(self._constants[name]).ravel().tolist()
        return values

    def add_constant(self, name: str, values: Sequence[int]) -> str:
        self.proto.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def insert(self, node: NodeProto, *, before: NodeProto) -> None:
        place = next(place for place, known in enumerate(self._nodes) if known is before)
        self._nodes.insert(place, node)
        self._producers.update(dict.fromkeys(node.output, node))
        for name in node.input:
            self._consumers[name].append(node)

    def drop_unused(self) -> None:
        """Writes back only the nodes that the outputs depend on."""
        needed: set[int] = set()
        names = list(self.outputs)
        while names:
            node = self._producers.get(names.pop())
            if node is not None and id(node) not in needed:
                needed.add(id(node))
                names += node.input
        nodes = [node for node in self._nodes if id(node) in needed]
        read = {name for node in nodes for name in node.input}
        inputs = [node for node in self.proto.input if node.name in read]
        for field, values in ((self.proto.node, nodes), (self.proto.input, inputs), (self.proto.value_info, [])):
            kept = [type(value).FromString(value.SerializeToString()) for value in values]
            del field[:]
            field.extend(kept)


def _fuse(graph: _Graph, softmax: NodeProto) -> NodeProto:
    """Replaces softmax(QK^T + mask)V by one node over the projections; returns that node."""
    scores = _scores(graph, softmax)
    mixed = _only(graph.consumers(softmax.output[0]))
    if mixed.op_type != "MatMul" or mixed.input[0] != softmax.output[0]:
        raise _UnknownError
    joined = mixed
    for op_type in ("Transpose", "Reshape"):
        joined = _only(graph.consumers(joined.output[0]))
        if joined.op_type != op_type:
            raise _UnknownError
    (query, heads), (key, _), (value, _) = (_projection(graph, n) for n in (*scores.input, mixed.input[1]))
    fused = helper.make_node(
        "MultiHeadAttention", [query, key, value], list(joined.output), domain=CONTRIB, num_heads=heads
    )
    joined.output[0] += "_unused"
    graph.insert(fused, before=joined)
    return fused


def _scores(graph: _Graph, softmax: NodeProto) -> NodeProto:
    """The MatMul of queries and keys, before scale and mask."""
    masked = graph.producer(softmax.input[0])
    for name in masked.input if masked.op_type == "Add" else softmax.input:
        node = graph.producer(name)
        while node.op_type in ("Mul", "Div") and graph.is_scale(node.input[1]):
            node = graph.producer(node.input[0])
        if node.op_type == "MatMul":
            return node
    raise _UnknownError


def _projection(graph: _Graph, name: str) -> tuple[str, int]:
    """The tensor (batch, length, width) before its split into heads, and the number of heads."""
    heads = 0
    while (node := graph.producer(name)).op_type in BETWEEN:
        if node.op_type in ("Mul", "Div") and not graph.is_scale(node.input[1]):
            raise _UnknownError
        if node.op_type == "Reshape":
            heads = _heads(graph, node.input[1])
        name = node.input[0]
    if not heads:
        raise _UnknownError
    return name, heads


def _heads(graph: _Graph, shape: str) -> int:
    """The number of heads in the shape (batch, length, heads, width), a constant or a Concat of four."""
    node = graph.producer(shape) if graph.is_computed(shape) else None
    if node is not None and node.op_type == "Concat":
        return int(graph.constant(node.input[2])[0])
    return int(graph.constant(shape)[2])


def _read_first_only(graph: _Graph, attention: NodeProto, *, outputs_too: bool) -> None:
    """Reduces the last layer's queries and residual to the first token; keys and values stay."""
    residual = _residual(graph, attention.output[0])
    if residual is None or not _ends_in_first(graph, attention.output[0], outputs_too=outputs_too):
        return
    add, hidden = residual
    bounds = [graph.add_constant(f"{FIRST}_{name}", [value]) for name, value in (("start", 0), ("end", 1), ("axis", 1))]
    renamed = {hidden: f"{FIRST}_token"}
    readers = list(graph.consumers(hidden))
    earliest = min(readers, key=lambda node: next(i for i, known in enumerate(graph.proto.node) if known is node))
    graph.insert(helper.make_node("Slice", [hidden, *bounds], [renamed[hidden]]), before=earliest)
    for node in readers:
        if node.op_type == "DynamicQuantizeLinear":
            renamed |= {name: f"{FIRST}_{place}" for place, name in enumerate(node.output)}
            quantized = [renamed[name] for name in node.output]
            graph.insert(helper.make_node(node.op_type, [renamed[hidden]], quantized), before=node)
    for node in [add, *_between(graph, attention.input[0], hidden)]:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)


def _residual(graph: _Graph, name: str) -> tuple[NodeProto, str] | None:
    """The residual Add after an attention, and its input that does not come from the attention."""
    behind = {name}
    names = [name]
    while names:
        for node in graph.consumers(names.pop(0)):
            computed = [i for i in node.input if graph.is_computed(i) and i not in behind]
            if node.op_type == "Add" and computed:
                return node, computed[0]
            behind.update(node.output)
            names += node.output
    return None


def _between(graph: _Graph, name: str, stop: str) -> Iterator[NodeProto]:
    """The nodes between a projection and `stop`, or its quantized form."""
    names, seen = [name], {stop, *(o for n in graph.consumers(stop) if len(n.output) > 1 for o in n.output)}
    while names:
        name = names.pop()
        if name not in seen and graph.is_computed(name):
            seen.add(name)
            yield graph.producer(name)
            names += graph.producer(name).input


def _ends_in_first(graph: _Graph, name: str, *, outputs_too: bool) -> bool:
    """Whether only its first token is read. outputs_too: hidden states that are graph outputs count as such."""
    names, seen = [name], {name}
    while names:
        name = names.pop()
        if name in graph.outputs:
            return outputs_too
        for node in graph.consumers(name):
            if _takes_first(graph, node):
                continue
            new = set(node.output) - seen
            seen |= new
            names += new
    return True


def _takes_first(graph: _Graph, node: NodeProto) -> bool:
    if node.op_type != "Gather":
        return False
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return axis == 1 and graph.constant(node.input[1]) == [0]


def _only(nodes: Sequence[NodeProto]) -> NodeProto:
    if len(nodes) != 1:
        raise _UnknownError
    return nodes[0]
