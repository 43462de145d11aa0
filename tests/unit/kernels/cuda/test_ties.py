"""Ties of outputs: the predicted class is the first of equal outputs, in every CUDA kernel that counts accuracy."""

import numpy as np
import pytest
from cuda_cases import Place

import fastmlp


@pytest.mark.thinned(8)
@pytest.mark.parametrize("equal", [(0, 1, 2), (1, 2), (0, 2)])
@pytest.mark.parametrize("place", ["block", "layers"])
@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
def test_ties_of_single_nets_go_to_the_first_class(cuda, place, precision, equal, rng, monkeypatch):
    where = Place(place, monkeypatch)
    X, y = rng.normal(size=(40, 4)), rng.integers(3, size=40)
    net = fastmlp.MLP((4, 7, 3), loss="softmax_cross_entropy", device="cuda", init="zeros", precision=precision)
    net.biases[-1][list(equal)] = 1.0
    accuracy = np.mean(y == equal[0])
    assert np.mean(net.predict_classes(X) == y) == accuracy
    assert net.evaluate(X, y)["accuracy"] == pytest.approx(accuracy)
    history = net.fit(X, y, epochs=1, batch_size=40, optimizer=fastmlp.SGD(1e-30), verbose=0)
    assert history.accuracy[0] == pytest.approx(accuracy)
    where.check()


@pytest.mark.full
@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "n_nets, sizes, block_bytes",
    [(200, (4, 2, 3), None), (3, (4, 7, 3), None), (3, (4, 7, 3), 0)],
    ids=["threads", "blocks", "in step"],
)
def test_ties_of_populations_go_to_the_first_class(cuda, n_nets, sizes, block_bytes, rng, monkeypatch):
    if block_bytes is not None:
        monkeypatch.setattr("fastmlp.execution.thresholds.BLOCK_UP_TO_BYTES", block_bytes)
    X, y = rng.normal(size=(40, 4)), rng.integers(3, size=40)
    nets = fastmlp.Population(sizes, n_nets, loss="softmax_cross_entropy", device="cuda", random_state=0)
    nets.params[::2] = 0.0
    accuracy = (nets.predict_classes(X) == y).mean(axis=1)
    np.testing.assert_allclose(nets.evaluate(X, y)["accuracy"], accuracy, rtol=1e-6)
    result = nets.fit(X, y, epochs=1, optimizer=fastmlp.SGD(1e-30), verbose=0)
    np.testing.assert_allclose(result.accuracy, accuracy, rtol=1e-6)
