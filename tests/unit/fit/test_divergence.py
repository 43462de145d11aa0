"""Divergence: `are_finite` is right even if sums overflow, and a guard restores the last finite parameters."""

from types import SimpleNamespace

import numpy as np
import pytest

from fastmlp import SGD, DivergenceWarning
from fastmlp.fit.divergence import SMALL, DivergenceGuard, are_finite, warn_of_divergence
from fastmlp.kernels.structs import DIVERGED, N_SCALARS, STEPS_DONE


def as_is(params):
    return params


@pytest.mark.parametrize("size", (3, 4 * SMALL))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("bad", (None, np.nan, np.inf, -np.inf))
def test_are_finite_finds_one_bad_value_and_ignores_overflowing_sums(bad, dtype, size):
    for value in (0.0, 1.0, 0.9 * np.finfo(dtype).max):
        params = np.full(size, value, dtype)
        if bad is not None:
            params[size // 2] = bad
        assert are_finite(params, as_is) == (bad is None)


def test_infinities_of_both_signs_are_not_finite():
    assert not are_finite(np.array([np.inf, 1.0, -np.inf], np.float32), as_is)
    both = np.ones(2 * SMALL)
    both[:2] = np.inf, -np.inf
    assert not are_finite(both, as_is)


class PlanOfTheHost:
    """The part of a plan that a guard uses: named buffers, and a backend whose arrays are NumPy's."""

    backend = SimpleNamespace(to_host=as_is)

    def __init__(self):
        self.buffers = {}

    def get_or_make(self, use, make):
        return self.buffers.setdefault(use, make())


def guarded(params):
    scalars = np.zeros((1, N_SCALARS))
    train_state = SimpleNamespace(params=np.array(params), scalars=scalars)
    return train_state, DivergenceGuard(PlanOfTheHost(), train_state)


def take_call(guard, train_state, first_step, n_steps, params, diverged=False):
    """Act as a kernel call that ends with these parameters."""
    guard.begin_call(first_step)
    train_state.params[:] = params
    train_state.scalars[0, [STEPS_DONE, DIVERGED]] = first_step + n_steps, diverged
    if guard.is_finite():
        guard.end_call()


@pytest.mark.parametrize(
    "n_steps, params, diverged, restored",
    [
        (1, [np.inf, 4.0], False, [3.0, 3.0]),  # the loss at the beginning of the call was finite
        (1, [4.0, 4.0], True, [3.0, 3.0]),
        (0, [3.0, 3.0], True, [2.0, 2.0]),  # the loss at the beginning of the call is not finite
    ],
)
def test_a_diverged_call_is_undone_up_to_the_last_finite_loss(n_steps, params, diverged, restored):
    train_state, guard = guarded([1.0, 1.0])
    take_call(guard, train_state, 0, 1, [2.0, 2.0])
    take_call(guard, train_state, 1, 1, [3.0, 3.0])
    take_call(guard, train_state, 2, n_steps, params, diverged)
    assert not guard.is_finite()
    guard.restore()
    assert train_state.params.tolist() == restored
    assert guard.params_overflowed == (not diverged)


def test_a_first_call_that_diverges_at_once_leaves_the_parameters_before_it():
    train_state, guard = guarded([1.0, 1.0])
    take_call(guard, train_state, 0, 0, [1.0, 1.0], diverged=True)
    guard.restore()
    assert train_state.params.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("clip_norm", "advice"), [(0.0, r"set clip_norm=1\.0, or"), (2.0, r"lower clip_norm \(it is 2\), or")]
)
def test_the_warning_advises_what_is_not_set_already(clip_norm, advice):
    with pytest.warns(DivergenceWarning, match=rf"Lower the learning rate \(it is 5\), {advice} scale the inputs"):
        warn_of_divergence(3, 10, SGD(5.0, clip_norm=clip_norm))
