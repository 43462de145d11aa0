"""Gradient clipping in every family of single nets: the step has the length that clip_norm allows."""

import kernel_families
import numpy as np
import pytest

from fastmlp import MLP, SGD


@pytest.mark.parametrize("size", (1.0, 1e160, 1e200))
@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_clipped_step_has_length_clip_norm_where_squares_overflow(family, size, monkeypatch, rng):
    """Squares of gradients of 1e160 overflow in float64; a step of length 0 would leave the net as it is for ever."""
    kernel_families.use(family, monkeypatch)
    X, y = rng.normal(size=(40, 7)) * size, np.zeros((40, 3))
    net = MLP((7, 5, 3), hidden_activation="identity", loss="huber", dtype="float64", random_state=0, device="cpu")
    before = net.params.copy()
    net.fit(X, y, epochs=1, optimizer=SGD(1.0, clip_norm=0.01), verbose=0)
    assert np.linalg.norm(net.params - before) == pytest.approx(0.01, rel=1e-9)
