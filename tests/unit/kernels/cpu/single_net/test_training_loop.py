"""The training loop of single nets on several threads."""

import kernel_families
import numpy as np
import pytest

import fastmlp.execution.dispatch
from fastmlp import MLP, Rprop


@pytest.mark.parametrize("n_threads", (2, 5))
def test_objective_with_penalty_is_the_same_for_every_thread(n_threads, monkeypatch, rng):
    """Rprop compares objectives. A thread must not compute the penalty while another one changes the parameters."""
    kernel_families.use("layerwise", monkeypatch)
    X, y = rng.normal(size=(600, 6)), rng.random((600, 1))

    def fit(n):
        for name in ("choose_threads", "choose_evaluation_threads"):
            monkeypatch.setattr(fastmlp.execution.dispatch, name, lambda *_: n)
        monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n))
        settings = {"loss": "binary_cross_entropy", "l2": 0.01, "random_state": 0, "device": "cpu"}
        net = MLP((6, 9, 17, 1), hidden_activation="sigmoid", **settings)
        net.fit(X, y, epochs=20, optimizer=Rprop(), verbose=0)
        return net.params.copy()

    alone = fit(1)
    for _ in range(25):
        np.testing.assert_array_equal(fit(n_threads), alone)
