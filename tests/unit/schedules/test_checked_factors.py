"""Schedules as fits use them: checked factors, and which schedules are constant."""

import numpy as np
import pytest

from fastmlp.schedules import Constant, schedule_factors
from fastmlp.schedules.checked_factors import factors_at, is_constant


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
