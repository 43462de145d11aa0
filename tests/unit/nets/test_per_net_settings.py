"""fastmlp.nets.net_base: constructor arguments of a Population that may differ from net to net."""

import numpy as np
import pytest
from scipy.stats import uniform

from fastmlp.nets.net_base import PER_NET, checked_per_net_setting


@pytest.mark.parametrize("name", PER_NET)
def test_numbers_arrays_and_distributions(name):
    rng = lambda: np.random.default_rng(0)
    assert checked_per_net_setting(name, 0.5, 3, None) == 0.5
    np.testing.assert_array_equal(checked_per_net_setting(name, [0.1, 0.2, 0.3], 3, None), [0.1, 0.2, 0.3])
    drawn = checked_per_net_setting(name, uniform(0.0, 0.5), 3, rng)
    np.testing.assert_array_equal(drawn, uniform(0.0, 0.5).rvs(size=3, random_state=rng()))


def test_bounds_hold_for_drawn_numbers_too():
    for value in (-0.1, [0.1, -0.1, 0.2], uniform(-2.0, 0.5)):
        with pytest.raises(ValueError, match="dropout must be a number in"):
            checked_per_net_setting("dropout", value, 3, lambda: np.random.default_rng(0))
