"""Functions of unrolled code, as plain Python on numbers."""

import pytest

from fastmlp.kernels.cpu.unrolled import functions
from fastmlp.kernels.formulas.activations import ACTIVATIONS, CODES
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.unrolled_program import DIFFERENCE, PRODUCT, SUM, Operation, program


def names_in(operand):
    if not isinstance(operand, Operation):
        return set()
    return {operand.name}.union(*map(names_in, operand.operands))


@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=[row.name for row in ACTIVATIONS])
def test_every_function_of_a_program_is_there(activation):
    for loss in range(len(LOSSES)):
        codes = [CODES["tanh"], activation]
        used = set().union(*(names_in(value) for _, value in program((2, 2, 2), codes, loss)))
        assert used - {SUM, DIFFERENCE, PRODUCT} <= functions.functions_of(loss, codes).keys()


@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
def test_functions_call_the_formulas_of_the_loss(row):
    found = functions.functions_of(LOSSES.index(row), [CODES["tanh"]])
    assert found["loss_delta"](0.25, 1.0, 0.5) == row.delta(0.25, 1.0, 0.5)
    assert found["loss_value"](0.125, 0.25, 1.0, 0.5) == row.value(0.125, 0.25, 1.0, 0.5)
    assert found["value_tanh"](0.5) == ACTIVATIONS[CODES["tanh"]].value(0.5)


def test_scores_of_outputs():
    assert [functions.same_side(a, y, 0.5) for a, y in ((0.75, 1), (0.25, 1), (0.25, 0), (0.75, 0))] == [1, 0, 1, 0]
    assert [functions.is_near(a, 1.0, 0.25) for a in (0.75, 0.5, 1.25, 1.5)] == [1, 0, 1, 0]
    assert [functions.is_as_large(a, 0.5) for a in (0.25, 0.5, 0.75)] == [0, 1, 1]
    assert functions.if_larger(2.0, 1.0, 3.0, 4.0) == 3.0
    assert functions.inverse(4.0) == 0.25
