"""Published experiments that need data: Prechelt's stopping rules, worked by hand."""

from types import SimpleNamespace

import numpy as np
from accuracy.published import prechelt_stops


def test_prechelts_stopping_rules():
    def stops(validation, training):
        history = SimpleNamespace(record=lambda name: np.array(validation), loss=np.array(training))
        return prechelt_stops(len(training) - 1, history)

    falling = np.geomspace(1, 0.5, 10)
    assert not stops([9, 9, 9, 9, 1.0, 9, 9, 9, 9, 1.04], falling), "only every fifth epoch counts"
    assert stops([9, 9, 9, 9, 1.0, 0, 0, 0, 0, 1.06], falling)
    assert not stops([1.0] * 4 + [9.0], falling[:4])
    assert stops([1.0] * 10, [1.0] * 5 + [0.9] * 5)
