"""Calls with NumPy's floating-point errors ignored: the caller's error state stays as it was, whatever happens."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.training import ignored_errors
from fastmlp.training.ignored_errors import ignoring_errors

X = np.array([[0.0, 1.0], [1.0, 0.0]])


class Interrupted(np.errstate):
    """Ctrl-C inside the method that changes the error state, or inside the one that restores it."""

    method = ""

    def __enter__(self):
        super().__enter__()
        if self.method == "enter":
            raise KeyboardInterrupt

    def __exit__(self, *error):
        if self.method == "exit":
            raise KeyboardInterrupt
        super().__exit__(*error)


def test_errors_are_ignored_inside_only():
    with np.errstate(all="raise"):
        assert ignoring_errors(lambda x: 1 / x, np.zeros(1)) == [np.inf]
        with pytest.raises(FloatingPointError):
            1 / np.zeros(1)


@pytest.mark.parametrize("method", ["enter", "exit"])
def test_an_interrupt_leaves_the_error_state_of_the_caller(method, monkeypatch):
    before = np.geterr()
    monkeypatch.setattr(ignored_errors, "errstate", Interrupted)
    monkeypatch.setattr(Interrupted, "method", method)
    net = MLP((2, 1), random_state=0)
    history = net.fit(X, [0, 1], epochs=3, metrics="absolute_error", verbose=0)
    assert history.stopped_by == "interrupt"
    assert np.geterr() == before
