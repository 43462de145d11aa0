"""Unrolled programs, run as plain Python: gradients against the float64 reference, and the shape of operations."""

import operator
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from net_cases import targets_for
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


CASES = [  # layer sizes, activations, loss
    *(
        (sizes, (*(row.name for _ in sizes[2:]), "identity"), "squared_error")
        for row in ELEMENTWISE
        for sizes in ((2, 1), (3, 4, 2), (2, 3, 2, 2))
    ),
    ((2, 1, 2), ("tanh", "sigmoid"), "binary_cross_entropy"),
    ((2, 1, 2), ("tanh", "tanh"), "huber"),
    ((2, 1, 2), ("tanh", "exponential"), "poisson"),
    ((2, 3, 3), ("tanh", "softmax"), "softmax_cross_entropy"),
]


def test_programs_compute_the_gradient_of_the_reference(rng):
    for sizes, names, loss in CASES:
        params, X = rng.normal(size=sum((i + 1) * j for i, j in pairwise(sizes))), rng.normal(size=(5, sizes[0]))
        y = targets_for(loss, names[-1], 5, sizes[-1], rng)
        reference = ReferenceMLP(sizes, names, loss, params, loss_constant=0.7)
        found, expected = gradient_of(sizes, names, loss, params, X, y), reference.loss_and_gradient(X, y)[1]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=f"{sizes}, {names}, {loss}")


@pytest.mark.parametrize("output, loss", [("sigmoid", "squared_error"), ("softmax", "softmax_cross_entropy")])
def test_products_are_terms_of_sums_or_whole_values(output, loss):
    """Emitters make a multiply-add of a sum's term that is a product, and print sums without parentheses."""
    for _, value in program((2, 3, 3), [CODES["tanh"], CODES[output]], losses.CODES[loss]):
        if isinstance(value, Operation):
            nested = [x for x in value.operands if isinstance(x, Operation)]
            assert all(x.name == PRODUCT for x in nested) or value.name == PRODUCT
            assert all(isinstance(x, str) for operation in nested for x in operation.operands)
