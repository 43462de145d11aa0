"""Formulas of all update rules on NumPy arrays, compared with the reference over many steps."""

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest
import reference_optimizers
from reference_optimizers import EXAMPLES

from fastmlp.kernels.formulas.update_rules import (
    CODES,
    HYPER_PARAMETERS,
    MOST_STATE,
    PASSED,
    RULES,
    STEP_VALUES,
    StepSettings,
)
from fastmlp.optimizers import OPTIMIZERS

LEARNING_RATE = 0.1


def run_rule(row, p, gradients, errors, hyper):
    """(n_steps, n) parameters after each step of the rule, called as kernels do."""
    named = {"learning_rate": LEARNING_RATE, **hyper}
    starts = [0.0 if start is None else named[start] for start in row.initial]
    state, path = [np.full_like(p, start) for start in starts], []
    settings = dict.fromkeys(StepSettings._fields, 0.0) | {k: v for k, v in hyper.items() if k in StepSettings._fields}
    for t, g in enumerate(gradients):
        rate, root = LEARNING_RATE, 1.0
        if row.bias_correction:
            rate /= 1 - hyper["beta1"] ** (t + 1)
            root = 1 / np.sqrt(1 - hyper["beta2"] ** (t + 1))
        worse = float(t > 0 and errors[t] > errors[t - 1])
        h = StepSettings(
            **settings
            | {"learning_rate": rate, "decay": 1.0, "inv_sqrt_bias_correction2": root, "loss_increased": worse}
        )
        p, *after = row.update(p, g, *state, h)
        for k in range(row.n_state, MOST_STATE):
            assert after[k] is state[k], "state that the rule does not own is passed through"
        state = after
        path.append(p)
    return np.array(path)


@pytest.mark.parametrize("row", RULES, ids=[row.name for row in RULES])
def test_rules_equal_the_reference(row, rng):
    """Gradients keep and change their sign, grow, shrink and vanish; errors rise and fall."""
    name, hyper = EXAMPLES[row.name]
    p, gradients = rng.normal(size=500), rng.normal(size=(40, 500)) + np.sin(np.arange(40))[:, None]
    gradients[:, :20] = 0.0
    gradients[10:13, 20:40] = 0.0
    errors = rng.random(40)
    expected, state, path = p, {}, []
    for g, error in zip(gradients, errors, strict=True):
        expected = reference_optimizers.RULES[name](expected, g, state, error, LEARNING_RATE, **hyper)
        path.append(expected)
    np.testing.assert_allclose(run_rule(row, p, gradients, errors, hyper), path, rtol=1e-9, atol=1e-12)


def test_table_of_rules_is_consistent():
    """Rules start from settings of an optimiser; they read settings that are passed, and values that rows ask for."""
    names, hyper = [row.name for row in RULES], {row.name for row in HYPER_PARAMETERS}
    assert {*names} == {*EXAMPLES}, "this module tests every row"
    assert [CODES[name] for name in names] == list(range(len(names)))
    assert hyper <= {field.name for cls in OPTIMIZERS.values() for field in fields(cls)}
    assert StepSettings._fields == PASSED + STEP_VALUES
    for row in RULES:
        assert len(row.initial) == MOST_STATE >= row.n_state
        assert {*row.initial} - {None} <= hyper
        read = set(re.findall(r"\bh\.(\w+)", inspect.getsource(row.update)))
        assert read <= set(StepSettings._fields)
        assert ("loss_increased" in read) == row.compares_loss
        assert "inv_sqrt_bias_correction2" not in read or row.bias_correction


@pytest.mark.parametrize("row", RULES, ids=[row.name for row in RULES])
def test_rows_say_which_steps_are_as_long_as_the_rate_and_which_are_linear(row, rng):
    """Steps have that length in the long run, however large a constant gradient is; steps for a sum of gradients are
    the sum of the steps.
    """
    hyper, gradients = EXAMPLES[row.name][1], np.tile([1e-3, -1.0, 1e3], (300, 1))
    path = run_rule(row, np.zeros(3), gradients, np.zeros(300), hyper | {"epsilon": 1e-12})
    lengths = np.abs(path[-1] - path[-2]) / LEARNING_RATE
    assert row.sign_like_steps == bool(np.all((lengths > 0.5) & (lengths < 2.0))), lengths
    one, other = rng.normal(size=(2, 30, 5))
    steps = lambda gradients: run_rule(row, np.zeros(5), gradients, np.zeros(30), hyper)
    assert row.is_plain_descent == np.allclose(steps(one + other), steps(one) + steps(other), rtol=1e-9, atol=1e-12)
