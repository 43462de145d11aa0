"""Data that are read piece by piece, on a GPU: the parameters of a fit on the CPU, and blocks that are copied ahead."""

import numpy as np
import pytest
import small_blocks
from cuda_cases import Place

from fastmlp import MLP
from fastmlp.devices import backend


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
@pytest.mark.parametrize("place", ["block", "layers"])
def test_blocks_that_are_copied_ahead_give_the_bits_of_others(cuda, be_late, monkeypatch, place, late):
    from fastmlp.kernels.cuda.runtime import block_copies

    def trained():
        net = MLP((3, 4, 1), loss="binary_cross_entropy", random_state=3, device="cuda")
        history = net.fit(small_blocks.Rows(), None, epochs=3, batch_size=small_blocks.BATCH, **fit)
        return net, history

    Place(place, monkeypatch)
    small_blocks.use_small_blocks(monkeypatch)
    monkeypatch.setattr(block_copies, "STAGED_BYTES", 100)
    fit, sent, send = {"memory_limit": 1_000_000, "verbose": 0}, [], block_copies.BlockCopies.send
    fit |= {"sample_weight": np.linspace(0.5, 2.0, small_blocks.N)}
    note = lambda self, k, arrays: (sent.append(k), send(self, k, arrays))
    monkeypatch.setattr(block_copies.BlockCopies, "send", note)
    be_late(late)
    copied, history = trained()
    assert sent == list(range(3 * small_blocks.N_BLOCKS))
    be_late("")
    monkeypatch.setattr(backend(copied.device), "block_copies", lambda *arguments: None)
    net, expected = trained()
    assert len(sent) == 3 * small_blocks.N_BLOCKS
    np.testing.assert_array_equal(copied.params, net.params)
    np.testing.assert_array_equal(history.loss, expected.loss)


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
