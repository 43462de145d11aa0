"""Learning-rate schedules: factors worked by hand, and properties that the docstrings promise."""

from itertools import product

import numpy as np
import pytest

import fastmlp.schedules
from fastmlp.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    FlatCosine,
    InverseScaling,
    OneCycle,
    Step,
    Warmup,
    schedule_factors,
)
from fastmlp.schedules.checked_schedule import factors_at, is_constant

BY_HAND = [  # schedule, steps of a fit of 100, factors
    (Constant(), [0, 50, 99], [1, 1, 1]),
    (Step(0.1, share=0.33), [0, 32, 33, 65, 66, 99], [1, 1, 0.1, 0.1, 0.01, 0.001]),
    (Step(0.5, share=0.55), [54, 55], [1, 0.5]),
    (Exponential(0.01), [0, 49.5, 99], [1, 0.1, 0.01]),
    (InverseScaling(0.5), [0, 3, 99], [1, 0.5, 0.1]),
    (InverseScaling(0.0), [0, 3, 99], [1, 1, 1]),
    (Cosine(), [0, 50, 100], [1, 0.5, 0]),
    (Cosine(0.2), [0, 50, 100], [1, 0.6, 0.2]),
    (Warmup(4), [0, 1, 2, 3, 4, 99], [0.25, 0.5, 0.75, 1, 1, 1]),
    (Warmup(20, "cosine"), [0, 19, 20, 60, 100], [0.05, 1, 1, 0.5, 0]),
    (OneCycle(0.1, share=0.4, end=0.0), [0, 19.5, 39, 69, 99], [0.1, 0.55, 1, 0.5, 0]),
    (FlatCosine(), [0, 50, 75, 100], [1, 1, 0.5, 0]),
    (FlatCosine(0.2, end=0.5), [0, 20, 60, 100], [1, 1, 0.75, 0.5]),
]


@pytest.mark.parametrize(
    "schedule, steps, expected", BY_HAND, ids=lambda value: str(value) if hasattr(value, "factors") else ""
)
def test_factors_worked_by_hand(schedule, steps, expected):
    np.testing.assert_allclose(schedule.factors(np.array(steps), 100), expected, atol=1e-12)


def test_factors_are_between_0_and_1_for_any_fit_length():
    """Factors of a part of the steps equal that part of all factors."""
    for name, n_steps in product(SCHEDULES, (1, 2, 7, 1000)):
        steps, factors = np.arange(n_steps), schedule_factors(name)
        whole = factors(steps, n_steps)
        assert whole.shape == (n_steps,)
        assert ((whole >= 0) & (whole <= 1)).all()
        assert (whole > 0).all()
        for first in (0, n_steps // 2, n_steps - 1):
            np.testing.assert_array_equal(factors(steps[first:], n_steps), whole[first:])


def test_one_cycle_rises_then_falls():
    for n_steps, share in product((3, 4, 5, 7, 100, 1001), (0.01, 0.3, 0.99)):
        factors = OneCycle(share=share).factors(np.arange(n_steps), n_steps)
        top = np.argmax(factors)
        np.testing.assert_allclose((factors[0], factors[top], factors[-1]), (0.04, 1.0, 4e-6), rtol=1e-12)
        assert (np.diff(factors[: top + 1]) > 0).all()
        assert (np.diff(factors[top:]) < 0).all()


ENDS = {  # (first, largest, last) factor of fits of 1, 2 and 50 steps
    Constant(): ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    Step(0.1, share=0.5): ((1, 1, 1), (1, 1, 0.1), (1, 1, 0.1)),
    Exponential(0.01): ((1, 1, 1), (1, 1, 0.01), (1, 1, 0.01)),
    InverseScaling(0.5): ((1, 1, 1), (1, 1, 2**-0.5), (1, 1, 50**-0.5)),
    Cosine(0.1): ((1, 1, 1), (1, 1, 0.55), (1, 1, 0.55 + 0.45 * np.cos(np.pi * 0.98))),
    Warmup(2, Exponential(0.01)): ((0.5, 0.5, 0.5), (0.5, 1, 1), (0.5, 1, 0.01)),
    OneCycle(0.04, end=4e-6): ((1, 1, 1), (1, 1, 4e-6), (0.04, 1, 4e-6)),
    FlatCosine(end=0.1): ((1, 1, 1), (1, 1, 1), (1, 1, 0.55 + 0.45 * np.cos(np.pi * 0.96))),
}


def test_first_largest_and_last_factor_are_as_documented():
    """The documented start, peak and end are reached at steps of the fit."""
    assert {type(schedule) for schedule in ENDS} == {type(row[0]) for row in BY_HAND} == set(SCHEDULES.values())
    for schedule, ends in ENDS.items():
        for n_steps, expected in zip((1, 2, 50), ends, strict=True):
            factors, case = schedule.factors(np.arange(n_steps), n_steps), f"{schedule}, {n_steps} steps"
            found = factors[0], factors.max(), factors[-1]
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=case)


def test_schedules_may_be_none_names_objects_or_functions():
    steps = np.arange(3)
    assert schedule_factors(None)(steps, 3).tolist() == [1, 1, 1]
    np.testing.assert_array_equal(schedule_factors("cosine")(steps, 3), Cosine().factors(steps, 3))
    np.testing.assert_array_equal(schedule_factors(Step(0.5))(steps, 3), Step(0.5).factors(steps, 3))
    assert schedule_factors(lambda steps, n_steps: steps / n_steps)(steps, 4).tolist() == [0, 0.25, 0.5]


def test_unknown_schedule_raises():
    with pytest.raises(ValueError, match=r"Unknown schedule 'cosin'\. Did you mean 'cosine'"):
        schedule_factors("cosin")
    with pytest.raises(ValueError, match="Unknown schedule 3"):
        schedule_factors(3)
    with pytest.raises(ValueError, match=r"it is the class Cosine. Pass Cosine\(\)"):
        schedule_factors(Cosine)
    with pytest.raises(ValueError, match=r"called as schedule\(steps, n_steps\).* does not take two arguments"):
        schedule_factors(lambda epoch: 0.1)


@pytest.mark.parametrize(
    "cls, settings",
    [
        (Step, {"factor": 0.0}),
        (Step, {"share": 0.0}),
        (Exponential, {"end": 0.0}),
        (InverseScaling, {"power": -1.0}),
        (Cosine, {"end": -0.1}),
        (Warmup, {"steps": 0}),
        (Warmup, {"then": "cosin"}),
        (OneCycle, {"start": -0.1}),
        (OneCycle, {"share": 1.0}),
        (FlatCosine, {"share": 1.0}),
    ],
    ids=str,
)
def test_invalid_schedule_settings_raise(cls, settings):
    (name,) = settings
    with pytest.raises(ValueError, match="schedule" if name == "then" else name):
        cls(**settings)


def test_every_schedule_can_be_imported_from_the_package():
    for kind in SCHEDULES.values():
        assert getattr(fastmlp.schedules, kind.__name__) is kind


# ---- as fits use them


def test_scalar_factor_applies_to_all_steps():
    np.testing.assert_array_equal(factors_at(lambda steps, n_steps: 0.5, 0, 3, 9), [0.5] * 3)
    np.testing.assert_array_equal(factors_at(lambda steps, n_steps: steps / n_steps, 0, 3, 4), [0, 0.25, 0.5])


@pytest.mark.parametrize("given", [np.ones(5), "a", None, np.nan, [1.0, np.inf, 1.0], -0.1])
def test_functions_returning_invalid_factors_raise(given):
    with pytest.raises(ValueError, match="A schedule must give a finite factor of at least 0 for each of 3 steps"):
        factors_at(lambda steps, n_steps: given, 0, 3, 9)


def test_constant_schedules_are_recognised():
    assert all(is_constant(schedule_factors(given)) for given in (None, "constant", Constant()))
    assert not any(is_constant(schedule_factors(given)) for given in ("cosine", lambda steps, n_steps: 1.0))
