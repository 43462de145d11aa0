"""fastmlp.api.population_fit: rules of restarts, and what a result keeps of the arguments of a fit."""

import numpy as np
import pytest

from fastmlp import Converged, Population
from fastmlp.api.population_fit import checked_restarts

XOR, XOR_Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]


def test_restarts_need_a_rule():
    assert checked_restarts(None, None) == (None, None)
    assert checked_restarts(0.1, 50) == (Converged(loss=0.1), 50)
    with pytest.raises(ValueError, match="restart_after needs converged"):
        checked_restarts(None, 50)
    with pytest.raises(ValueError, match="restart_after must be a whole number"):
        checked_restarts(0.1, 0)


def test_the_result_keeps_settings_that_differ():
    pop = Population((2, 2, 1), 3, loss="binary_cross_entropy", l2=np.array([0.0, 0.1, 0.2]), random_state=0)
    result = pop.fit(XOR, XOR_Y, epochs=2, verbose=0)
    assert list(result.settings) == ["l2"]
    np.testing.assert_array_equal(result.settings["l2"], [0.0, 0.1, 0.2])
    assert (result.monitor, result.judged_by, result.interrupted) == (None, "all right", False)
