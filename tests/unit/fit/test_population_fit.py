"""fastmlp.fit.population_fit: rules of restarts, and what a result keeps, also after Ctrl-C."""

import signal

import numpy as np
import pytest
from executor_cases import InPlace
from interrupted_fits import with_sigint

from fastmlp import Population
from fastmlp.diagnosis.monitor import PopulationMonitor
from fastmlp.executors.workers import Workers

XOR, XOR_Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]


def test_restarts_need_a_rule():
    pop = Population((2, 2, 1), 3, device="cpu")
    with pytest.raises(ValueError, match="restart_after needs converged"):
        pop.fit(XOR, XOR_Y, restart_after=50)
    with pytest.raises(ValueError, match="restart_after must be a whole number"):
        pop.fit(XOR, XOR_Y, converged=0.1, restart_after=0)


def test_the_result_keeps_settings_that_differ():
    pop = Population((2, 2, 1), 3, loss="binary_cross_entropy", l2=np.array([0.0, 0.1, 0.2]), random_state=0)
    result = pop.fit(XOR, XOR_Y, epochs=2, verbose=0)
    assert list(result.settings) == ["l2"]
    np.testing.assert_array_equal(result.settings["l2"], [0.0, 0.1, 0.2])
    assert (result.monitor, result.judged_by, result.interrupted) == (None, "all right", False)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_monitor_looks_leaves_the_result(monkeypatch):
    def look(self, outcome, *, at_end=False):
        if at_end:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PopulationMonitor, "look", look)
    pop = Population((2, 2, 1), 3, loss="binary_cross_entropy", random_state=0, device="cpu")
    before = pop.params.copy()
    assert pop.fit(XOR, XOR_Y, epochs=20, verbose=0, monitor=True).interrupted
    assert (pop.params != before).any()
    assert pop.result.epochs.tolist() == [20, 20, 20]
    assert pop.fits == 1


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_shared_arrays_are_deleted_leaves_the_result(monkeypatch):
    monkeypatch.setattr(Workers, "close", with_sigint(Workers.close))
    pop = Population((2, 2, 1), 3, loss="binary_cross_entropy", random_state=0, device="cpu")
    result = pop.fit(XOR, XOR_Y, epochs=20, verbose=0, executor=InPlace())
    assert result is pop.result
    assert result.interrupted
    assert result.epochs.tolist() == [20, 20, 20]
