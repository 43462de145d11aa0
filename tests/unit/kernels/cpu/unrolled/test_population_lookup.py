"""Unrolled population kernels: correct as Python code, and compiled for nets that have one."""

from itertools import pairwise

import numpy as np
import pytest
from reference import ReferenceMLP

from fastmlp.kernels.cpu.unrolled import population_lookup
from fastmlp.kernels.formulas import activations, losses
from fastmlp.kernels.formulas.unrolled_program import program

ELEMENTWISE = [row for row in activations.ACTIVATIONS if row.name not in ("softmax", "exponential")]
CODES = activations.CODES


def gradient_of(layer_sizes, names, loss, params, X, y):
    """Run unrolled code sample by sample, with NumPy scalars for vectors."""
    functions = {f"value_{row.name}": row.value for row in activations.ACTIVATIONS}
    functions |= {f"derivative_{row.name}": row.derivative for row in activations.ACTIVATIONS}
    functions |= {"if_larger": lambda a, b, x, y: x if a > b else y, "exp": np.exp, "log": np.log}
    functions["inverse"] = lambda v: 1 / v
    functions["loss_delta"] = losses.LOSSES[losses.CODES[loss]].delta
    names_of = [CODES[name] for name in names]
    steps = list(program(layer_sizes, names_of, losses.CODES[loss]))
    total = {f"g{q}": 0.0 for q in range(len(params))}
    for x, target in zip(X, y, strict=True):
        scope = {**functions, **{f"p{q}": value for q, value in enumerate(params)}, "c": 0.7}
        scope |= {f"x{i}": value for i, value in enumerate(x)} | {f"y{j}": value for j, value in enumerate(target)}
        width = 1 if loss == "softmax_cross_entropy" else y.shape[1]
        scope |= total | {"w": 1.0 / (len(X) * width)}
        for name, expression in steps:
            scope[name] = eval(expression, scope)
        total = {name: scope[name] for name in total}
    return np.array([total[f"g{q}"] for q in range(len(params))])


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
@pytest.mark.parametrize("layer_sizes", [(2, 1), (3, 4, 2), (2, 3, 2, 2)])
def test_unrolled_gradient_equals_the_reference(row, layer_sizes, rng):
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
def test_unrolled_gradient_of_every_loss_equals_the_reference(loss, output, rng):
    params, X, y = rng.normal(size=11), rng.normal(size=(6, 2)), rng.integers(0, 2, (6, 2)).astype(float)
    names = ["tanh", output]
    expected = ReferenceMLP((2, 1, 2), names, loss, params[:7], huber_delta=0.7).loss_and_gradient(X, y)[1]
    np.testing.assert_allclose(gradient_of((2, 1, 2), names, loss, params[:7], X, y), expected, rtol=1e-9)


def test_unrolled_gradient_of_softmax_equals_the_reference(rng):
    params, X, y = rng.normal(size=21), rng.normal(size=(6, 2)), np.eye(3)[rng.integers(0, 3, 6)]
    names = ["tanh", "softmax"]
    expected = ReferenceMLP((2, 3, 3), names, "softmax_cross_entropy", params).loss_and_gradient(X, y)[1]
    np.testing.assert_allclose(
        gradient_of((2, 3, 3), names, "softmax_cross_entropy", params, X, y), expected, rtol=1e-9
    )


def test_unrolled_code_exists_for_tiny_nets_without_dropout():
    has, sigmoid = population_lookup.has_unrolled_code, CODES["sigmoid"]
    assert has((2, 2, 1), False)
    assert not has((2, 8, 8, 1), False), "too many parameters"
    assert not has((2, 2, 1), True), "dropout"
    address = population_lookup.unrolled_address
    kinds = [(16, 4), (32, 4), (16, 5), (16, 3)]
    found = [address([2, 2, 1], [sigmoid] * 2, 0, 0, lanes, n, np.dtype("float32")) for lanes, n in kinds]
    assert found[0] == found[3]
    assert len({*found}) == 3
    assert all(found)
