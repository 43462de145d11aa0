"""Targets and weights in GPU memory: they give the same nets and the same errors as those of the host."""

import numpy as np
import pytest

from fastmlp import MLP, SGD, Population

SIZES = (3, 5, 2)


def samples(rng, n=20):
    return rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)


def make(**settings):
    return MLP(SIZES, **{"hidden_activation": "tanh", "device": "cuda", "random_state": 0} | settings)


TASKS = {
    "numbers": ("squared_error", lambda rng: rng.normal(size=(24, 2)).astype(np.float32)),
    "numbers in another dtype": ("squared_error", lambda rng: rng.normal(size=(24, 2))),
    "class numbers": ("softmax_cross_entropy", lambda rng: rng.integers(0, 2, 24)),
    "shares": ("softmax_cross_entropy", lambda rng: rng.dirichlet([1.0, 1.0], 24)),
    "labels": ("binary_cross_entropy", lambda rng: rng.integers(0, 2, (24, 2)).astype(bool)),
}


@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_device_targets_train_as_host_targets(cuda, task, weighted, many, rng):
    """Targets of every kind give nets with the same bits, with label smoothing, validation split and weights too."""
    loss, draw = TASKS[task]
    X, y, weight = samples(rng, 24)[0], draw(rng), rng.integers(1, 4, 24) if weighted else None
    smoothing = 0.1 if loss == "softmax_cross_entropy" else 0.0
    settings = {"loss": loss, "label_smoothing": smoothing, "device": "cuda", "random_state": 0}
    found = []
    for give in (np.asarray, cuda.asarray):
        net = Population(SIZES, 3, **settings) if many else MLP(SIZES, **settings)
        w = None if weight is None else give(weight)
        result = net.fit(
            cuda.asarray(X), give(y), sample_weight=w, epochs=4, batch_size=7, validation_fraction=0.25, verbose=0
        )
        found.append([net.params, result.loss, str(net.evaluate(cuda.asarray(X), give(y), sample_weight=w))])
    for from_host, from_device in zip(*found, strict=True):
        np.testing.assert_array_equal(from_device, from_host)


@pytest.mark.parametrize("weighted", [False, True])
def test_device_targets_and_weights_per_net_train_as_host_arrays(cuda, weighted, rng):
    """Targets and weights of each net of a population may be on the device; class weights are made on the host."""
    X, y, w = samples(rng, 9)[0], rng.integers(0, 2, (4, 9, 2)), rng.integers(1, 4, (4, 9))
    found = []
    for give in (np.asarray, cuda.asarray):
        pop = Population(SIZES, 4, device="cuda", loss="softmax_cross_entropy", random_state=0)
        given = {"sample_weight": give(w)} if weighted else {"class_weight": {0: 1.0, 1: 3.0}}
        pop.fit(cuda.asarray(X), give(np.eye(2)[y[:, :, 0]]), epochs=3, verbose=0, **given)
        found.append(pop.params)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("many", [False, True], ids=["MLP", "Population"])
def test_class_weight_and_monitor_accept_device_samples(cuda, many, rng):
    X, y = samples(rng, 40)[0], rng.integers(0, 2, 40)
    found = []
    for give in (np.asarray, cuda.asarray):
        settings = {"loss": "softmax_cross_entropy", "device": "cuda", "random_state": 0}
        net = Population(SIZES, 3, **settings) if many else MLP(SIZES, **settings)
        options = {"class_weight": "balanced", "sample_weight": give(np.arange(1, 41)), "monitor": True}
        net.fit(give(X), give(y), epochs=300, verbose=0, optimizer=SGD(0.01), **options)
        found.append(net.params)
    np.testing.assert_array_equal(*found)


def test_invalid_device_targets_and_weights_raise(cuda, rng):
    X, y = samples(rng)
    classes, rows = rng.integers(0, 2, 20), np.full((20, 2), 0.5)
    there, classifier = cuda.asarray(X), {"loss": "softmax_cross_entropy"}
    broken = y.copy()
    broken[3, 1] = np.nan
    for settings, bad, message in (
        ({}, broken, r"y must be finite in float32.*the first at \(3, 1\)"),
        ({}, y[:9], "y has 9 samples, but X has 20"),
        ({}, y[:, :1].repeat(3, axis=1), r"y must have shape \(20, 2\)"),
        ({}, y.astype(complex), "y must hold numbers, but its dtype is complex128"),
        (classifier, classes + 0.5, "it holds fractions"),
        (classifier, classes + 1, "it holds 1 to 2"),
        (classifier, rows * 3, "defined for targets from 0 to 1, but y holds 1.5 to 1.5"),
        (classifier, rows * 0.5, "must be a distribution that sums to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**settings).fit(there, cuda.asarray(bad), verbose=0)
    for bad, message in (
        (np.full(20, -1.0), "sample_weight must be at least 0"),
        (np.zeros(20), "above 0 for some sample"),
        (np.ones(19), r"must have shape \(20,\)"),
        (np.full(20, np.inf), "sample_weight must be finite"),
    ):
        for net in (make(), Population(SIZES, 2, device="cuda", random_state=0)):
            with pytest.raises(ValueError, match=message):
                net.fit(there, cuda.asarray(y), sample_weight=cuda.asarray(bad), verbose=0)
