"""Training, gradients and outputs in every kernel family, compared with the float64 reference."""

from unittest import mock

import numpy as np
import pytest
from cuda_cases import HIDDEN_NAMES, OPTIMIZERS, Place, assert_follows, own, reference_of
from cuda_fits import CASES, FITS, ROWS, sizes_of
from net_cases import targets_for
from reference_bfloat16 import RoundedMLP
from reference_net import loss_per_sample
from tolerances import TOLERANCES

import fastmlp
from fastmlp import MLP, SGD, Population
from fastmlp.execution.gpu_costs import BY_LAYERS
from fastmlp.fit import one_net
from fastmlp.fit.hooks import lane_calls
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES


def test_cases_have_every_loss_update_rule_and_hidden_activation():
    assert {case.loss for case in CASES.values()} == {row.name for row in LOSSES}
    assert {case.fit["optimizer"].rule.name for case in CASES.values()} == {row.name for row in RULES}
    assert {name for case in CASES.values() for name in case.hidden} == set(HIDDEN_NAMES)


@pytest.fixture
def short_calls(monkeypatch):
    """First calls of kernels that take a step, or an epoch of a population."""
    monkeypatch.setattr(one_net, "FIRST_CALL", 1)
    monkeypatch.setattr(lane_calls, "FIRST_CALL_OF_DEVICE", 1)


@pytest.mark.parametrize("place, n_nets, name", FITS)
def test_training_matches_the_reference(cuda, short_calls, monkeypatch, place, n_nets, name):
    """Optimiser state, schedules and orders are carried over from call to call."""
    where, case, sizes = Place(place, monkeypatch), CASES[name], sizes_of(place)
    X, y, fit = case.arguments(sizes)
    nets = case.net(sizes, n_nets)
    assert_follows(nets, X, y, **fit)
    if "dropout" in name:  # which is for training only
        outputs, tolerance = nets.predict(X).reshape(-1, *y.shape)[0], TOLERANCES["training", nets.dtype.name]
        expected = reference_of(nets.network, np.atleast_2d(nets.params)[0]).predict(X)
        np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)
    where.check()


@pytest.mark.parametrize("name", ["rprop", "adam"])
def test_large_blocks_match_the_reference(cuda, monkeypatch, name):
    """256 threads, whose warps add up their sums in shared memory, and two tiles of samples."""
    place, case, sizes = Place("block", monkeypatch), CASES[name], (6, 64, 3)
    X, y, fit = case.arguments(sizes, rows=70)
    assert_follows(case.net(sizes, hidden_activation=case.hidden[:1]), X, y, **fit | {"batch_size": None})
    [shape] = {shape for kernel, shape in place.shapes if kernel == "train_nets"}
    assert (shape.threads, shape.tile) == (256, 64)
    place.check()


@pytest.mark.parametrize("sizes, n", [((1, 1), 1), ((3, 2), 7), ((33, 40, 35, 12), 233), ((2, 1, 1, 5), 131)])
@pytest.mark.parametrize("name, n_nets", [("block", 1), ("workspace", 1), ("layers", 1), ("batched", 2)])
def test_extreme_shapes_match_the_reference(cuda, monkeypatch, rng, name, n_nets, sizes, n):
    """No hidden layer, one unit, layers wider than a warp and than a tile; more rows and columns than a block takes."""
    place = Place(name, monkeypatch)
    monkeypatch.setattr("fastmlp.kernels.cuda.layers.passes.MOST_BLOCKS", 2)
    nets = MLP(sizes, device="cuda", dtype="float64", random_state=0, hidden_activation="tanh")
    if n_nets > 1:
        nets = Population(sizes, 2, device="cuda", dtype="float64", random_state=0, hidden_activation="tanh")
    X, y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))
    assert_follows(nets, X, y, epochs=2, batch_size=150, optimizer=SGD(0.1, clip_norm=0.4))
    place.check()


def test_long_orders_match_the_reference(place, rng):
    """More samples than random words are drawn at a time; another fit has other orders."""
    X, y = rng.normal(size=(300, 2)), rng.normal(size=(300, 2))
    nets = Population((2, 3, 2), place.n, hidden_activation="tanh", device="cuda", dtype="float64", random_state=0)
    for _ in range(2):
        assert_follows(nets, X, y, epochs=2, batch_size=77, optimizer=SGD(0.1))


def test_orders_in_global_memory_match_the_reference(cuda, monkeypatch, rng):
    """They are too long for shared memory."""
    place, X = Place("batched", monkeypatch), rng.normal(size=(13_000, 1))
    nets = Population((1, 1), 2, device="cuda", dtype="float64", random_state=0)
    assert_follows(nets, X, np.sin(X), epochs=1, batch_size=6500, optimizer=SGD(0.1))
    place.check()


# ---- what is each net's own


@pytest.mark.parametrize("own_dropout", [False, True])
def test_samples_weights_penalty_and_dropout_of_each_net_match_the_reference(place, rng, own_dropout):
    if own_dropout and place.name == "thread":
        place.name = "block"  # nets with dropout never train one per thread
    X, y = rng.normal(size=(place.n, 12, 2)), rng.normal(size=(place.n, 12, 2))
    weight = rng.random((place.n, 12)) + 0.1
    settings = {"dropout": np.linspace(0.0, 0.6, place.n)} if own_dropout else {"l2": np.linspace(0.0, 0.3, place.n)}
    nets = Population((2, 3, 2), place.n, hidden_activation="tanh", device="cuda", dtype="float64", **settings)
    assert_follows(nets, X, y, [0, 1, place.n - 1], epochs=3, batch_size=5, optimizer=SGD(0.2), sample_weight=weight)
    k, reference = place.n - 1, reference_of(nets.network, nets.params[-1])
    np.testing.assert_allclose(nets.predict(X)[k], reference.predict(X[k]), rtol=1e-9)
    shares = weight[k] / weight[k].mean()
    assert nets.evaluate(X, y, sample_weight=weight)["loss"][k] == pytest.approx(
        np.mean(shares * loss_per_sample("squared_error", None, reference.predict(X[k]), y[k]))
    )


# From the first net to the last; wide enough that a neighbour's setting shows, and no two are the same.
RANGES = {
    "learning_rate": (0.6, 1.0),  # of the optimiser's
    "weight_decay": (0.05, 0.6),
    "clip_norm": (0.1, 0.5),
    "momentum": (0.2, 0.9),
    "beta1": (0.5, 0.95),
    "beta2": (0.6, 0.97),
    "epsilon": (0.01, 0.3),
    "growth": (1.1, 1.9),
    "shrink": (0.35, 0.75),
    "smallest": (0.001, 0.03),
    "biggest": (0.05, 0.13),
}


@pytest.mark.parametrize("name", ["adamw", "momentum", "rprop"])
def test_every_optimizer_setting_may_differ_per_net(place, rng, name):
    optimizer, few = OPTIMIZERS[name], [0, 1, 2, place.n // 2, place.n - 1]
    used = [setting for setting in optimizer.settings if setting in RANGES]
    settings = {setting: np.linspace(*RANGES[setting], place.n) for setting in used}
    settings["learning_rate"] *= optimizer.learning_rate
    settings["weight_decay"][1::3] = settings["clip_norm"][2::3] = 0.0  # which is off
    X, y = rng.normal(size=(16, 2)), np.tanh(rng.normal(size=(16, 2)))
    nets = Population((2, 3, 2), place.n, hidden_activation="tanh", device="cuda", dtype="float64", random_state=4)
    assert_follows(nets, X, y, few, epochs=8, optimizer=own(optimizer, **settings))


# ---- gradients, outputs and metrics


@pytest.mark.parametrize(
    "loss, k", [("binary_cross_entropy", 1), ("binary_cross_entropy", 3), ("softmax_cross_entropy", 35)]
)
@pytest.mark.parametrize("name", ["block", "layers"])
def test_gradients_outputs_and_metrics_match_the_reference(cuda, name, loss, k, monkeypatch, rng):
    """In parts of rows, with weights and without; a smaller number of samples later has sums of its own."""
    Place(name, monkeypatch)
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    monkeypatch.setattr("fastmlp.nets.objective.ROWS", 100)
    net = MLP((4, 6, k), hidden_activation="gelu", loss=loss, l2=0.1, dropout=0.5, device="cuda", dtype="float64")
    for n in (231, 31):
        X, weight = rng.normal(size=(n, 4)), rng.random(n) * (rng.random(n) > 0.2)
        y = targets_for(loss, None, n, k, rng)
        for given in ({}, {"sample_weight": weight}):
            assert_figures(net, X, y, given.get("sample_weight"))
            shares = weight / weight.mean() if given else None
            expected_loss, expected = reference_of(net.network, net.params).loss_and_gradient(X, y, shares)
            found_loss, found = net.loss_and_gradient(X, y, **given)
            assert found_loss == pytest.approx(expected_loss)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def assert_figures(net, X, y, weight=None, some=(), **near):
    """Compare outputs, classes, loss and accuracy with the reference; `some` are numbers of a population's nets."""
    near = near or {"rtol": 1e-11, "atol": 1e-13}
    given = {} if weight is None else {"sample_weight": weight}
    outputs, classes, figures = net.predict(X), net.predict_classes(X), net.evaluate(X, y, **given)
    for k in some or [...]:
        reference = reference_of(net.network, net.params[k])
        of_net = lambda array, n, k=k: array[k] if array.ndim > n else array
        zs, layers = reference.forward(of_net(X, 2))
        expected, exclusive = layers[-1], net.network.loss_row.name == "softmax_cross_entropy"
        np.testing.assert_allclose(outputs[k], expected, **near)
        chosen = expected.argmax(axis=1) if y.shape[-1] > 1 else expected[:, 0] > 0.5
        np.testing.assert_array_equal(classes[k], chosen)
        right = chosen == y.argmax(axis=1) if exclusive else ((expected > 0.5) == (y > 0.5)).mean(axis=1)
        shares = np.ones(len(y)) if weight is None else of_net(weight, 1) / of_net(weight, 1).mean()
        losses = loss_per_sample(net.network.loss_row.name, zs[-1], expected, y)
        assert np.asarray(figures["loss"])[k] == pytest.approx(np.mean(shares * losses))
        assert np.asarray(figures["accuracy"])[k] == pytest.approx(np.mean(shares * right))


@pytest.mark.parametrize("loss, k", [("binary_cross_entropy", 1), ("softmax_cross_entropy", 3)])
@pytest.mark.parametrize("memory", [2**33, 200_000])
@pytest.mark.parametrize("name", ["block", "batched"])
def test_outputs_and_metrics_of_a_population_match_the_reference(
    emulated_cuda, monkeypatch, rng, name, memory, loss, k
):
    """For any amount of memory, of all nets and of some, with samples and weights of each net or of all."""
    Place(name, monkeypatch)
    emulated_cuda.settings.limit = memory
    nets = Population((2, 6, k), 5, loss=loss, hidden_activation="tanh", device="cuda", dtype="float64", random_state=0)
    own_X, weight = rng.normal(size=(5, 300, 2)), rng.random((5, 300)) * (rng.random((5, 300)) > 0.2)
    y = targets_for(loss, None, 300, k, rng)
    for X in (own_X, own_X[0]):
        assert_figures(nets, X, y, weight, some=(0, 4))
    assert_figures(nets, own_X[0], y, some=(0, 4))
    np.testing.assert_array_equal(nets.predict(X, nets=[3, 1]), nets.predict(X)[[3, 1]])


@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
@pytest.mark.parametrize(
    "loss, n", [("softmax_cross_entropy", 35), ("binary_cross_entropy", 70), ("softmax_cross_entropy", 130)]
)
@pytest.mark.parametrize("n_nets", [1, 2])
def test_many_outputs_match_the_reference(cuda, n_nets, loss, n, precision, rng):
    """A warp takes each row; biases of 64, 128 or 256 outputs are summed at a time, in chunks of rows."""
    settings = {"loss": loss, "precision": precision, "hidden_activation": "tanh", "device": "cuda", "random_state": 0}
    X, y = rng.normal(size=(70, 5)), targets_for(loss, None, 70, n, rng)
    kind, tolerance = (RoundedMLP, 2e-3) if precision == "bfloat16" else (None, None)
    with mock.patch("fastmlp.execution.gpu_costs.ESTIMATED_COSTS", BY_LAYERS):
        nets = MLP((5, 9, n), **settings) if n_nets == 1 else Population((5, 9, n), n_nets, **settings)
        given = {} if kind is None else {"kind": kind, "tolerance": tolerance}
        assert_follows(nets, X, y, epochs=2, batch_size=40, optimizer=SGD(1.0), **given)


def test_ties_go_to_the_first_class_and_outputs_within_the_margin_count(place, rng):
    """Equal outputs in some nets; the step is too small to change a parameter."""
    X, y = rng.normal(size=(ROWS, 2)), rng.integers(0, 3, ROWS)
    settings, step = {"hidden_activation": "tanh", "device": "cuda", "random_state": 0}, SGD(1e-30)
    nets = Population((2, 3, 3), place.n, loss="softmax_cross_entropy", **settings)
    nets.params[::2] = 0.0
    nets.params[::2, -2:] = 1.0
    accuracy = (nets.predict_classes(X) == y).mean(axis=1)
    assert set(nets.predict_classes(X)[0]) == {1}
    np.testing.assert_allclose(nets.evaluate(X, y)["accuracy"], accuracy, rtol=1e-6)
    np.testing.assert_allclose(nets.fit(X, y, epochs=1, optimizer=step, verbose=0).accuracy, accuracy, rtol=1e-6)
    nets, y = Population((2, 3, 1), place.n, loss="binary_cross_entropy", init_scale=3.0, **settings), y % 2
    result = nets.fit(X, y, epochs=1, optimizer=step, converged="40-20-40", verbose=0)
    expected = np.mean(np.abs(nets.predict(X)[..., 0] - y) <= 0.4, axis=1)
    assert 0 < expected[0] < 1
    np.testing.assert_allclose(result.accuracy, expected, rtol=1e-6)


def test_first_calls_are_short_and_double(cuda, monkeypatch):
    """A call cannot be interrupted."""
    from fastmlp.kernels.cuda import backend

    asked, train_nets = [], backend.train_nets
    nets = Population((2, 2, 1), 100, device="cuda", random_state=0)
    monkeypatch.setattr(backend, "train_nets", lambda *job: (asked.append(job[-1]), train_nets(*job)))
    monkeypatch.setattr(lane_calls, "FULL_DEVICE", 10)
    monkeypatch.setattr(lane_calls, "FIRST_CALL_OF_DEVICE", 3.5 * 100 * 4 * nets.network.layout.products)
    monkeypatch.setattr(lane_calls, "CALL_SECONDS", (1e9, 2e9))
    nets.fit(rng_samples := np.ones((4, 2)), rng_samples[:, :1], epochs=40, optimizer=fastmlp.Adam(), verbose=0)
    assert asked[:4] == [3, 3, 6, 12]
