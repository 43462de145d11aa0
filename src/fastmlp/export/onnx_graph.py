"""Nodes and constants of an ONNX graph, and the activations as nodes, derived from their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import install_command
from ..kernels.formulas.activations import LEAK, SELU_ALPHA, SELU_SCALE, ActivationRow
from ..kernels.formulas.operands import Operand, retargeted, with_composed

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise ImportError(f"A file .onnx needs the package onnx: {install_command('onnx')}.") from error

ML = "ai.onnx.ml"
SYMBOLS = {
    "+": "Add",
    "-": "Sub",
    "*": "Mul",
    "/": "Div",
    "<": "Less",
    "<=": "LessOrEqual",
    ">": "Greater",
    ">=": "GreaterOrEqual",
}
# Activations that are one operator, in float32: onnxruntime has most of these operators in no other precision. All
# other activations, and those of float64, are written as their formulas.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": LEAK}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {"alpha": SELU_ALPHA, "gamma": SELU_SCALE}),
    "softsign": ("Softsign", {}),
}


class Value(Operand):
    """A tensor of a graph, by its name."""

    def __init__(self, graph: Graph, name: str):
        self.graph, self.name = graph, name

    def combined(self, symbol: str, left: Any, right: Any) -> Value:
        return self.graph.add(SYMBOLS[symbol], left, right)


class Graph:
    """Nodes and constants of a model, in the order in which they are computed.

    dtype : dtype to which operations on values convert Python floats
    """

    def __init__(self, dtype: np.dtype):
        self.dtype = np.dtype(dtype)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._constants: dict[tuple, Value] = {}

    def _new_name(self) -> str:
        return f"fastmlp/{len(self.nodes) + len(self.constants)}"

    def _add_constant(self, array: np.ndarray) -> Value:
        name = self._new_name()
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return Value(self, name)

    def name_output(self, value: Value, name: str) -> None:
        """Make a value an output of the graph, under this name."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name], name))

    def add(self, operator: str, *inputs: Any, domain: str = "", **attributes: Any) -> Value:
        """Add a node with one output; inputs are values, numbers and arrays."""
        names = [(item if isinstance(item, Value) else self.constant(item)).name for item in inputs]
        name = self._new_name()
        self.nodes.append(helper.make_node(operator, names, [name], name, domain=domain or None, **attributes))
        return Value(self, name)

    def constant(self, content: Any) -> Value:
        """Return a number, in the dtype of the graph, or an array as a value. Equal ones are kept once."""
        array = np.asarray(content, self.dtype) if type(content) in (int, float) else np.asarray(content)
        if array.dtype == object or array.size > 8:
            return self._add_constant(array)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self._add_constant(array)
        return self._constants[key]

    def cast(self, value: Value, dtype: Any) -> Value:
        return self.add("Cast", value, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype))))

    def looked_up(self, texts: Value, numbers: dict[str, int]) -> Value:
        """Return the numbers of texts, -1 of others."""
        keys, values = list(numbers), list(numbers.values())
        return self.add("LabelEncoder", texts, domain=ML, keys_strings=keys, values_int64s=values, default_int64=-1)

    def interpolated(self, x: Value, knots: np.ndarray, scores: np.ndarray) -> Value:
        """Return np.interp(x, knots, scores) for x (n_rows, 1).

        The segment of x is the place of the first inner knot above x, which ArgMax finds in bytes: n_knots for each
        row.
        """
        if len(knots) == 1:
            knots, scores = np.append(knots, knots + 1.0), np.append(scores, scores)
        inside = self.add("Clip", x, knots[0], knots[-1])
        is_below = self.cast(inside < np.append(knots[1:-1], np.inf)[None, :], np.uint8)
        segment = self.add("ArgMax", is_below, axis=1, keepdims=1)
        ends = (knots[:-1], knots[1:], scores[:-1], scores[1:])
        left, right, low, high = (self.add("Gather", values, segment) for values in ends)
        return low + (inside - left) / (right - left) * (high - low)

    # ---- activations

    def activation(self, row: ActivationRow, z: Value) -> Value:
        """Return the output of an activation for logits or pre-activations z."""
        if row.name == "softmax":
            return self.add("Softmax", z, axis=-1)
        if row.name in OPERATORS and self.dtype == np.float32:
            operator, attributes = OPERATORS[row.name]
            return self.add(operator, z, **attributes)
        return retargeted(row.value, self.functions)(z)

    @property
    def functions(self) -> dict[str, Any]:
        """The functions of numpy_math on values."""
        unary = {"absolute": "Abs", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "sigmoid": "Sigmoid", "tanh": "Tanh"}
        functions: dict[str, Any] = {
            name: lambda z, operator=operator: self.add(operator, z) for name, operator in unary.items()
        }
        exp, log, absolute = functions["exp"], functions["log"], functions["absolute"]
        functions |= {
            "where": lambda mask, a, b: self.add("Where", mask, a, b),
            "expm1": lambda z: exp(z) - 1.0,
            "log1p": lambda t: log(t + 1.0),
            "softplus": lambda z: self.add("Where", z < 0.0, 0.0, z) + log(exp(-absolute(z)) + 1.0),
            "normal_cdf": lambda z: (self._erf(z * 0.5**0.5) + 1.0) * 0.5,
        }
        return with_composed(functions)

    def _erf(self, z: Value) -> Value:
        if self.dtype == np.float32:
            return self.add("Erf", z)
        return self.cast(self.add("Erf", self.cast(z, np.float32)), self.dtype)  # onnxruntime has it in float32 only
