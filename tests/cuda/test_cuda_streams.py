"""Data that are read piece by piece, on a GPU: the parameters of a fit on the CPU."""

import numpy as np

from fastmlp import MLP


class Batches:
    def __init__(self, X, y):
        self.batches = [(X[i : i + 5_000], y[i : i + 5_000]) for i in range(0, len(X), 5_000)]

    def __iter__(self):
        return iter(self.batches)


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
