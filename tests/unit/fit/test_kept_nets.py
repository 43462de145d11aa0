"""Rows of nets that have trained all their epochs, which are written and read again."""

import numpy as np
import pytest

from fastmlp.fit.kept_nets import KeptNets
from fastmlp.kernels.structs import SuspendedNets


@pytest.mark.parametrize("n_state", [0, 2])
def test_nets_are_read_as_written(n_state):
    rng = np.random.default_rng(0)
    rows = lambda *shape: rng.normal(size=(2, *shape)).astype(np.float32)
    nets = SuspendedNets(
        net_index=np.array([1, 4]),
        epochs=np.array([7, 7]),
        best_epochs=np.array([0, 3]),
        clock=np.array([7, 20]),
        params=rows(3),
        state=rows(n_state * 3),
        safe_params=rows(3),
        best_params=rows(3),
        powers=rng.normal(size=(2, 2)),
        numbers=rng.normal(size=(2, 4)),
    )
    kept = KeptNets.empty(6, n_state, 3, np.dtype(np.float32))
    assert not kept.are_written.any()
    kept.take(nets)
    assert np.flatnonzero(kept.are_written).tolist() == [1, 4]
    found = kept.rows_of(nets.net_index, nets.epochs, nets.best_epochs, nets.best_params)
    for name, values in nets._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
    assert all(getattr(found, name).flags.c_contiguous for name in ("params", "state", "safe_params"))
    kept.vectors[:], kept.numbers[:] = 0, 0  # rows that were read are copies
    np.testing.assert_array_equal(found.params, nets.params)
