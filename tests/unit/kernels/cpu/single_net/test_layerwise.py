"""Kernel family layerwise: wide layers, dropout with known masks, and any number of threads."""

import itertools

import kernel_families
import numpy as np
import pytest
from reference_net import ReferenceMLP
from reference_random import dropout_mask
from tolerances import TOLERANCES

import fastmlp.execution.dispatch
import fastmlp.nets.objective
from fastmlp import MLP, SGD, Adam, Rprop
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.cpu.workspace import LARGE_NET_PARAMS, PANELS_FROM
from fastmlp.schedules import Constant, FlatCosine

pytestmark = pytest.mark.thinned(3)

TRAIN = backend.train
DTYPES = ("float32", "float64")


@pytest.fixture(autouse=True, params=("layerwise", "layerwise_data_parallel"))
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


@pytest.fixture
def seeds(monkeypatch):
    """The list of seeds of all training calls."""
    found = []

    def recorded(*arguments):
        found.append(next(x for x in arguments if type(x).__name__ == "TrainConfig").seed)
        TRAIN(*arguments)

    monkeypatch.setattr(backend, "train", recorded)
    return found


# ---- wide layers


@pytest.mark.thinned(6)
@pytest.mark.parametrize("rows", (45, 601))
@pytest.mark.parametrize("n_threads", (1, 2))
@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_layers_match_the_reference(n_threads, dtype, rows, threads, rng):
    """Layers wide enough for products that pack their operands, and for several blocks of the inner dimension."""
    threads(n_threads)
    sizes = (390, 350, 331, 11)
    net = MLP(sizes, hidden_activation=("tanh", "gelu"), loss="softmax_cross_entropy", dtype=dtype, random_state=1)
    reference = ReferenceMLP(sizes, ("tanh", "gelu", "softmax"), "softmax_cross_entropy", net.params)
    X, labels = rng.normal(size=(rows, 390)), rng.integers(0, 11, rows)
    loss, gradient = net.loss_and_gradient(X, labels)
    expected_loss, expected = reference.loss_and_gradient(X, np.eye(11)[labels])
    tolerance = TOLERANCES["gradient", dtype]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=tolerance, atol=tolerance)


@pytest.mark.full
@pytest.mark.parametrize("n_threads", (1, 2))
def test_weights_larger_than_the_cache_match_the_reference(n_threads, threads, rng):
    """Packed copies of the weights are written with non-temporal stores, each by one thread for all."""
    threads(n_threads)
    sizes = (16, 1450, 1450, 4)
    net = MLP(sizes, hidden_activation="tanh", dtype="float64", random_state=1)
    assert net.network.layout.n_params > LARGE_NET_PARAMS
    reference = ReferenceMLP(sizes, ("tanh", "tanh", "identity"), "squared_error", net.params)
    X, y = rng.normal(size=(48, 16)), rng.normal(size=(48, 4))
    net.fit(X, y, epochs=2, batch_size=24, optimizer=SGD(0.1), shuffle=False, verbose=0)
    for first in (0, 24, 0, 24):
        reference.params -= 0.1 * reference.loss_and_gradient(X[first : first + 24], y[first : first + 24])[1]
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("width, rows", list(itertools.product((2, 15, 16, 17, 33), (1, 15, 16, 17))))
def test_softmax_of_any_width_matches_the_reference(width, rows, rng):
    """A net of one layer without bias, whose logits are 50 times the inputs."""
    net = MLP((width, width), loss="softmax_cross_entropy", dtype="float64")
    net.params[:] = 0.0
    net.weights[0][:] = 50 * np.eye(width)
    reference = ReferenceMLP((width, width), ("softmax",), "softmax_cross_entropy", net.params)
    X, labels = rng.normal(size=(rows, width)), rng.integers(0, width, rows)
    y = np.eye(width)[labels]
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-11, atol=1e-300)
    loss, gradient = net.loss_and_gradient(X, labels)
    expected_loss, expected = reference.loss_and_gradient(X, y)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)


# ---- dropout


def masks_of(sizes, rates, rows, seed, step):
    return [
        dropout_mask(rows, width, rate, seed, step, layer) if rate else np.ones((rows, width))
        for layer, (width, rate) in enumerate(zip(sizes[1:-1], rates, strict=True))
    ]


@pytest.mark.parametrize("n_threads", (1, 2))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "hidden, schedule",
    [
        (("tanh", "relu", "gelu"), Constant()),
        (("silu", "sigmoid", "elu"), Constant()),
        (("tanh", "relu", "gelu"), FlatCosine(0.2)),
    ],
)
def test_dropout_training_matches_the_reference_with_the_same_masks(
    hidden, schedule, dtype, n_threads, threads, seeds, rng
):
    """The reference uses the masks of Philox; samples are in order, and the last batch is smaller."""
    threads(n_threads)
    sizes, rates = (5, 7, 19, 6, 2), (0.5, 0.0, 0.2)
    net = MLP(sizes, hidden_activation=hidden, dropout=rates, dtype=dtype, random_state=8, l2=0.01)
    reference = ReferenceMLP(sizes, (*hidden, "identity"), "squared_error", net.params, l2=0.01)
    X, y = rng.normal(size=(41, 5)), rng.normal(size=(41, 2))
    fit = {"epochs": 3, "batch_size": 18, "optimizer": SGD(0.05), "dropout_schedule": schedule, "shuffle": False}
    history = net.fit(X, y, **fit, verbose=0)
    step, losses, factors = 0, [], schedule.factors(np.arange(9), 9)
    for _ in range(3):
        for first in (0, 18, 36):
            rows = slice(first, first + 18)
            masks = masks_of(sizes, np.multiply(rates, factors[step]), len(X[rows]), seeds[0], step)
            loss, gradient = reference.loss_and_gradient(X[rows], y[rows], masks=masks)
            penalty = 0.005 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
            losses.append((loss - penalty) * len(X[rows]) / 41)
            reference.params -= 0.05 * gradient
            step += 1
    tolerance = TOLERANCES["training", dtype]
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.loss, np.sum(np.reshape(losses, (3, 3)), axis=1), rtol=tolerance)


def test_dropout_preserves_the_mean_activation():
    """The output is the mean of hidden units of value 1; a step drops some of them and scales up the others."""
    width, rate, n = 40, 0.3, 2000
    net = MLP((1, width, 1), hidden_activation="identity", dropout=rate, random_state=0, dtype="float64")
    net.params[:] = 0.0
    net.biases[0][:] = 1.0
    net.weights[1][:] = 1.0 / width
    history = net.fit(np.zeros((n, 1)), np.zeros(n), epochs=1, batch_size=None, optimizer=SGD(1e-30), verbose=0)
    # the output is the mean of `width` masks of mean 1 and variance rate / (1 - rate)
    assert history.loss[0] == pytest.approx(1 + rate / (1 - rate) / width, rel=0.01)


def test_dropout_is_off_outside_training(rng):
    plain, dropping = (MLP((3, 20, 2), dropout=rate, random_state=0) for rate in (0.0, 0.5))
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    np.testing.assert_array_equal(plain.predict(X), dropping.predict(X))
    np.testing.assert_array_equal(plain.loss_and_gradient(X, y)[1], dropping.loss_and_gradient(X, y)[1])
    assert plain.evaluate(X, y) == dropping.evaluate(X, y)


def test_dropout_masks_follow_the_seed(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    nets = [MLP((3, 20, 2), dropout=0.5, random_state=seed, init="zeros") for seed in (1, 1, 2)]
    for net in nets:
        net.params[:] = np.linspace(-1, 1, len(net.params))
        net.fit(X, y, epochs=4, optimizer=SGD(0.1), verbose=0)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert not np.array_equal(nets[0].params, nets[2].params)


def test_dropout_masks_differ_by_step_and_layer():
    masks = [dropout_mask(20, 30, 0.5, 1, step, layer) for step, layer in itertools.product(range(3), range(2))]
    assert len({mask.tobytes() for mask in masks}) == 6


# ---- threads

SETTINGS = {
    "plain": {},
    "clip_norm": {"optimizer": Adam(0.01, clip_norm=0.5)},
    "weight_decay": {"optimizer": Adam(0.01, weight_decay=0.1)},
    "rprop": {"optimizer": Rprop(0.01), "batch_size": None},
    "small batches": {"batch_size": 3},
}


def fitted(n, dropout=0.3, sizes=(7, 40, 33, 3), **settings):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(n, sizes[0])), rng.integers(0, sizes[-1], n)
    dtype = settings.pop("dtype", "float64")
    net = MLP(sizes, dropout=dropout, loss="softmax_cross_entropy", l2=0.01, dtype=dtype, random_state=2)
    weight = np.linspace(0.5, 1.5, n)
    history = net.fit(X, labels, **{"epochs": 4, "batch_size": 200, "sample_weight": weight, "verbose": 0} | settings)
    return net, history


@pytest.mark.thinned(16)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("n", (405, 401))
def test_any_number_of_threads_gives_the_same_bits(n, name, dtype, threads, family):
    """Batches of 200, of which the last has 5 rows or one, fewer than there are chunks."""
    outcomes = []
    for n_threads in (1, 2, 3, 2):
        threads(n_threads)
        outcomes.append(fitted(n, dtype=dtype, **SETTINGS[name]))
    (one, recorded), *others = outcomes
    for net, history in others:
        np.testing.assert_array_equal(net.params, one.params)
        precision = 0.0 if family == "layerwise" else 1e-6 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(history.loss, recorded.loss, rtol=precision)
        np.testing.assert_allclose(history.accuracy, recorded.accuracy, rtol=precision)
    np.testing.assert_array_equal(outcomes[1][1].loss, outcomes[3][1].loss)


def test_more_threads_than_units_give_the_same_bits(threads):
    """With layers of one unit and batches of two rows, most threads have no work."""
    nets = []
    for n_threads in (1, 3):
        threads(n_threads)
        nets.append(fitted(5, sizes=(1, 1, 2), batch_size=2, optimizer=SGD(0.1, clip_norm=0.2))[0])
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


@pytest.mark.parametrize("n", (1, 5, 256, 700))
def test_evaluation_is_equal_for_any_number_of_threads(n, threads, rng):
    """A thread evaluates blocks of 256 rows."""
    net = MLP((4, 30, 3), loss="softmax_cross_entropy", dtype="float64", random_state=0)
    X, labels = rng.normal(size=(n, 4)), rng.integers(0, 3, n)
    weight = rng.random(n) + 0.1
    found = []
    for n_threads in (1, 2, 3):
        threads(n_threads)
        found.append((net.predict(X), net.evaluate(X, labels, sample_weight=weight)))
    for output, figures in found[1:]:
        np.testing.assert_array_equal(output, found[0][0])
        assert figures["accuracy"] == pytest.approx(found[0][1]["accuracy"], rel=1e-14)
        assert figures["loss"] == pytest.approx(found[0][1]["loss"], rel=1e-13)


def test_gradient_of_any_number_of_threads_matches_the_reference(threads, rng, monkeypatch):
    monkeypatch.setattr(fastmlp.nets.objective, "ROWS", 50)
    net = MLP((4, 30, 3), dtype="float64", random_state=0)
    reference = ReferenceMLP((4, 30, 3), ("relu", "identity"), "squared_error", net.params)
    X, y = rng.normal(size=(107, 4)), rng.normal(size=(107, 3))
    for n_threads in (1, 2, 3):
        threads(n_threads)
        loss, gradient = net.loss_and_gradient(X, y)
        expected_loss, expected = reference.loss_and_gradient(X, y)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_packed_weights_change_no_bit_of_an_evaluation(n_threads, monkeypatch):
    """Weights are packed for many samples on up to two threads, and not otherwise."""
    net = MLP((30, 330, 40, 350, 3), loss="softmax_cross_entropy", random_state=0)
    X = np.random.default_rng(0).normal(size=(3 * PANELS_FROM + 1, 30)).astype(np.float32)
    y = np.arange(len(X)) % 3
    monkeypatch.setattr(fastmlp.execution.dispatch, "choose_evaluation_threads", lambda network, n_samples: n_threads)
    outputs, figures = net.predict(X), net.evaluate(X, y)
    few = np.concatenate([net.predict(part) for part in np.array_split(X, 7)])
    np.testing.assert_array_equal(outputs, few)
    losses = -np.log(outputs.astype(np.float64))[np.arange(len(X)), y]
    assert figures["loss"] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "sizes",
    [
        (30, 400, 257, 700, 7),
        (5, 256, 390),  # threads divide the outputs too
        (700, 127, 3),  # too few columns for a second thread
    ],
)
def test_threads_divide_the_columns_of_one_row(sizes, dtype, threads, rng):
    """A row alone has the bits on any number of threads that it has among others."""
    hidden = ("gelu", "relu", "tanh")[: len(sizes) - 2]
    net = MLP(sizes, hidden_activation=hidden, loss="softmax_cross_entropy", dtype=dtype, random_state=1)
    reference = ReferenceMLP(sizes, (*hidden, "softmax"), "softmax_cross_entropy", net.params)
    X, label = rng.normal(size=(9, sizes[0])), np.array([sizes[-1] - 1])
    threads(1)
    among_others, figures = net.predict(X), net.evaluate(X[:1], label)
    tolerance = TOLERANCES["value", dtype]
    np.testing.assert_allclose(among_others, reference.predict(X), rtol=tolerance, atol=tolerance)
    for n_threads in (2, 3):
        threads(n_threads)
        for k in range(3):
            np.testing.assert_array_equal(net.predict(X[k : k + 1]), among_others[k : k + 1])
        assert net.evaluate(X[:1], label) == figures
