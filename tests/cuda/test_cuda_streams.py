"""Data that are read piece by piece, on a GPU: the parameters of a fit on the CPU, block by block."""

import numpy as np
import pytest
import small_blocks
from cuda_cases import Place

from fastmlp import MLP


class Batches:
    def __init__(self, X, y):
        self.batches = [(X[i : i + 5_000], y[i : i + 5_000]) for i in range(0, len(X), 5_000)]

    def __iter__(self):
        return iter(self.batches)


@pytest.mark.slow
def test_blocks_of_rows_train_as_on_the_cpu(cuda, rng):
    X = rng.normal(size=(30_000, 6)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    found = {}
    for device in ("cpu", "cuda"):
        net = MLP((6, 8, 2), loss="softmax_cross_entropy", random_state=0, device=device)
        history = net.fit(Batches(X, y), None, epochs=2, batch_size=500, memory_limit=1_000_000, verbose=0)
        found[device] = net.params, history.loss
    assert len(found["cpu"][1]) == 2
    np.testing.assert_allclose(found["cuda"][0], found["cpu"][0], atol=2e-5)
    np.testing.assert_allclose(found["cuda"][1], found["cpu"][1], rtol=1e-5)


@pytest.mark.parametrize("late", ["", "all", "null"])
def test_blocks_on_the_device_give_the_bits_of_batches_from_the_host(cuda, be_late, monkeypatch, late):
    """A buffer on the host is read into again while kernels train on a copy of it."""
    from fastmlp.kernels.cuda.runtime import device_memory

    def trained():
        net = MLP((3, 4, 1), loss="binary_cross_entropy", random_state=3, device="cuda")
        weight = np.linspace(0.5, 2.0, small_blocks.N)
        fit = {"memory_limit": 1_000_000, "batch_size": small_blocks.BATCH, "sample_weight": weight}
        history = net.fit(small_blocks.Rows(), None, epochs=3, verbose=0, **fit)
        return net.params, history.loss

    Place("layers", monkeypatch)
    small_blocks.use_small_blocks(monkeypatch)
    be_late(late)
    found = trained()
    be_late("")
    monkeypatch.setattr(device_memory, "fits", lambda data: device_memory.is_on_device(data.X))
    for values, expected in zip(found, trained(), strict=True):
        np.testing.assert_array_equal(values, expected)


def test_weights_metrics_and_held_out_rows_are_those_of_the_cpu(cuda, monkeypatch):
    small_blocks.use_small_blocks(monkeypatch)
    options = {"class_weight": "balanced", "validation_fraction": 0.3, "metrics": ["squared_error"], "epochs": 3}
    options |= {"batch_size": small_blocks.BATCH, "memory_limit": "1MB", "verbose": 0}
    found = {}
    for device in ("cpu", "cuda"):
        net = MLP((3, 4, 1), loss="binary_cross_entropy", random_state=3, device=device)
        history = net.fit(small_blocks.Rows(), None, **options)
        found[device] = history.records()
    for name, values in found["cpu"].items():
        np.testing.assert_allclose(found["cuda"][name], values, rtol=1e-4, err_msg=name)
