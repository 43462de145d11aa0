"""Unrolled programs, run as plain Python: gradients against the float64 reference, and the shape of operations."""

import operator
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from reference_net import ReferenceMLP

from fastmlp.kernels.formulas import activations, losses
from fastmlp.kernels.formulas.unrolled_program import DIFFERENCE, PRODUCT, SUM, Operation, program

ELEMENTWISE = [row for row in activations.ACTIVATIONS if row.name not in ("softmax", "exponential")]
CODES = activations.CODES
FUNCTIONS = {
    SUM: lambda *terms: reduce(operator.add, terms),
    DIFFERENCE: operator.sub,
    PRODUCT: operator.mul,
    "if_larger": lambda a, b, x, y: x if a > b else y,
    "exp": np.exp,
    "log": np.log,
    "inverse": lambda v: 1 / v,
    **{f"value_{row.name}": row.value for row in activations.ACTIVATIONS},
    **{f"derivative_{row.name}": row.derivative for row in activations.ACTIVATIONS},
}


def evaluate(operand, variables, functions):
    if isinstance(operand, str):
        return variables[operand]
    return functions[operand.name](*[evaluate(x, variables, functions) for x in operand.operands])


def gradient_of(layer_sizes, names, loss, params, X, y):
    """Return the gradient that a program computes sample by sample, with NumPy numbers in place of vectors."""
    functions = FUNCTIONS | {"loss_delta": losses.LOSSES[losses.CODES[loss]].delta}
    names_of = [CODES[name] for name in names]
    steps = list(program(layer_sizes, names_of, losses.CODES[loss]))
    total = {f"g{q}": 0.0 for q in range(len(params))}
    for x, target in zip(X, y, strict=True):
        scope = {f"p{q}": value for q, value in enumerate(params)} | {"c": 0.7}
        scope |= {f"x{i}": value for i, value in enumerate(x)} | {f"y{j}": value for j, value in enumerate(target)}
        width = 1 if loss == "softmax_cross_entropy" else y.shape[1]
        scope |= total | {"w": 1.0 / (len(X) * width)}
        for name, operand in steps:
            scope[name] = evaluate(operand, scope, functions)
        total = {name: scope[name] for name in total}
    return np.array([total[f"g{q}"] for q in range(len(params))])


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
@pytest.mark.parametrize("layer_sizes", [(2, 1), (3, 4, 2), (2, 3, 2, 2)])
def test_program(row, layer_sizes, rng):
    names = [row.name] * (len(layer_sizes) - 2) + ["identity"]
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    params, X = rng.normal(size=n_params), rng.normal(size=(5, layer_sizes[0]))
    y = rng.normal(size=(5, layer_sizes[-1]))
    expected = ReferenceMLP(layer_sizes, names, "squared_error", params).loss_and_gradient(X, y)[1]
    np.testing.assert_allclose(
        gradient_of(layer_sizes, names, "squared_error", params, X, y), expected, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    "loss, output", [("binary_cross_entropy", "sigmoid"), ("huber", "tanh"), ("poisson", "exponential")]
)
def test_program_of_losses(loss, output, rng):
    params, X, y = rng.normal(size=11), rng.normal(size=(6, 2)), rng.integers(0, 2, (6, 2)).astype(float)
    names = ["tanh", output]
    expected = ReferenceMLP((2, 1, 2), names, loss, params[:7], loss_constant=0.7).loss_and_gradient(X, y)[1]
    np.testing.assert_allclose(gradient_of((2, 1, 2), names, loss, params[:7], X, y), expected, rtol=1e-9)


def test_program_of_softmax(rng):
    params, X, y = rng.normal(size=21), rng.normal(size=(6, 2)), np.eye(3)[rng.integers(0, 3, 6)]
    names = ["tanh", "softmax"]
    expected = ReferenceMLP((2, 3, 3), names, "softmax_cross_entropy", params).loss_and_gradient(X, y)[1]
    np.testing.assert_allclose(
        gradient_of((2, 3, 3), names, "softmax_cross_entropy", params, X, y), expected, rtol=1e-9
    )


@pytest.mark.parametrize("output, loss", [("sigmoid", "squared_error"), ("softmax", "softmax_cross_entropy")])
def test_products_are_terms_of_sums_or_whole_values(output, loss):
    """Emitters make a multiply-add of a sum's term that is a product, and print sums without parentheses."""
    for _, value in program((2, 3, 3), [CODES["tanh"], CODES[output]], losses.CODES[loss]):
        if isinstance(value, Operation):
            nested = [x for x in value.operands if isinstance(x, Operation)]
            assert all(x.name == PRODUCT for x in nested) or value.name == PRODUCT
            assert all(isinstance(x, str) for operation in nested for x in operation.operands)
