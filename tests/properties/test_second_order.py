"""Levenberg-Marquardt, one net and nets in lanes, compared with the reference in float64."""

import numpy as np
import pytest
import reference_second_order
from reference_net import ReferenceMLP

import fastmlp
from fastmlp import MLP, EarlyStopping, LevenbergMarquardt, Population
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.jit.call import call
from fastmlp.network.spec import HIDDEN

SMOOTH = [row.name for row in LOSSES if row.curvature is not None]
N = 22


def targets(loss, rng, n_outputs):
    if loss == "softmax_cross_entropy":
        return rng.integers(0, n_outputs, N)
    return rng.poisson(2.0, (N, n_outputs)).astype(float) if loss == "poisson" else rng.random((N, n_outputs))


def rows_of(y, n_outputs):
    return np.eye(n_outputs)[y] if y.ndim == 1 else y


def reference_of(net, params=None):
    network = net.network
    names = [fastmlp.kernels.formulas.activations.ACTIVATIONS[code].name for code in network.activation_codes]
    params = net.params if params is None else params
    return ReferenceMLP(network.layer_sizes, names, network.loss_row.name, params, network.l2, network.loss_constant)


def nets_of(kind, *arguments, **settings):
    """One net, or a population of which all nets are in lanes."""
    if kind == "net":
        return MLP(*arguments, dtype="float64", random_state=1, **settings)
    nets = Population(arguments[0], 21, *arguments[1:], dtype="float64", random_state=1, **settings)
    nets.params[0] *= 3.0
    return nets


def assert_follows(kind, nets, X, y, epochs=6, weight=None, order=None, factors=None, rtol=1e-5, **fit):
    start = nets.params.copy().reshape(-1, nets.network.layout.n_params)
    history = nets.fit(X, y, epochs=epochs, verbose=0, optimizer="levenbergmarquardt", sample_weight=weight, **fit)
    size = fit.get("batch_size")
    for net in range(0, len(start), 4):
        reference = reference_of(nets, start[net])
        losses = reference_second_order.train(
            reference,
            X,
            y,
            epochs=epochs,
            batch_size=size,
            weight=weight,
            order=order and order(nets, net),
            factors=factors,
        )
        found = nets.params if kind == "net" else nets.params[net]
        np.testing.assert_allclose(found, reference.params, rtol=rtol, atol=rtol)
        if kind == "net":
            np.testing.assert_allclose(history.loss, losses, rtol=rtol)
        else:
            np.testing.assert_allclose(history.loss[net], losses[-1], rtol=rtol)


both = pytest.mark.parametrize("kind", ["net", "lanes"])


@both
@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.quick
def test_steps_equal_the_reference(kind, loss, rng):
    """With penalties and weights, of which two are 0 and their targets large."""
    n_outputs, weight = 3, rng.random(N)
    weight[4:6] = 0.0
    X, y = rng.normal(size=(N, 2)), targets(loss, rng, n_outputs)
    nets = nets_of(kind, (2, 4, n_outputs), hidden_activation="tanh", loss=loss, l2=0.01)
    assert_follows(kind, nets, X, rows_of(y, n_outputs), weight=weight / weight.mean())


@both
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(kind, activation, rng):
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 2))
    init = fastmlp.Uniform(-1.0, 1.0)  # with biases of 0, a unit may be exactly at the kink of relu
    nets = nets_of(kind, (2, 3, 3, 2), hidden_activation=activation, init=init)
    if activation == "fahlman_sigmoid":  # whose derivative is not the true one, so that a step need not lower the loss
        nets.fit(X, y, epochs=3, verbose=0, optimizer="levenbergmarquardt")
        assert np.isfinite(nets.params).all()
        return
    assert_follows(kind, nets, X, y, rtol=1e-4)


@both
def test_batches_shuffled_and_with_a_schedule(kind, rng):
    """The last batch of an epoch is shorter; batches of nets in lanes have several tiles."""
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 1))

    def order(nets, net):
        seed = nets_seed[net]

        def of_epoch(epoch):
            words, found = np.empty(256, np.uint64), np.empty(N, np.int64)
            call("formulas.counter_rng.draw_order", None, N, seed, epoch, words, found)
            return found

        return of_epoch

    nets = nets_of(kind, (2, 4, 1), hidden_activation="sigmoid")
    from fastmlp.kernels.formulas.counter_rng import fit_seed, fit_seeds

    nets_seed = [fit_seed(nets.seed, 0)] if kind == "net" else fit_seeds(nets.seeds, 0)
    schedule = fastmlp.schedules.Cosine()
    assert_follows(kind, nets, X, y, order=order, batch_size=9, schedule=schedule, factors=schedule.factors)


def test_nets_with_samples_and_settings_of_their_own(rng):
    X, y = rng.normal(size=(9, N, 2)), rng.normal(size=(9, N, 1))
    damping, l2 = np.geomspace(1e-5, 1.0, 9), np.linspace(0.0, 0.1, 9)
    nets = Population((2, 3, 1), 9, hidden_activation="tanh", dtype="float64", l2=l2, random_state=0)
    start = nets.params.copy()
    nets.fit(X, y, epochs=5, optimizer=LevenbergMarquardt(damping=damping), verbose=0)
    for net in range(9):
        reference = reference_of(nets, start[net])
        reference.l2 = l2[net]
        reference_second_order.train(reference, X[net], y[net], epochs=5, damping=damping[net])
        np.testing.assert_allclose(nets.params[net], reference.params, rtol=1e-5, atol=1e-5)


@both
def test_float32_is_as_good_up_to_its_rounding(kind, rng):
    X, y = rng.uniform(-1, 1, (200, 1)), None
    y = np.sin(3 * X)
    losses = []
    for dtype in ("float32", "float64"):
        settings = {"hidden_activation": "tanh", "random_state": 0, "dtype": dtype, "init": fastmlp.NguyenWidrow()}
        nets = MLP((1, 6, 1), **settings) if kind == "net" else Population((1, 6, 1), 20, **settings)
        losses.append(np.median(nets.fit(X, y, epochs=40, optimizer=LevenbergMarquardt(), verbose=0).loss[-20:]))
    assert losses[1] < 1e-6
    assert losses[0] < 1e-5


def test_damping_is_carried_from_fit_to_fit(rng):
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 1))
    once, twice = (MLP((2, 3, 1), dtype="float64", random_state=0) for _ in range(2))
    once.fit(X, y, epochs=8, optimizer=LevenbergMarquardt(), verbose=0)
    state = fastmlp.OptimizerState()
    for _ in range(2):
        twice.fit(X, y, epochs=4, optimizer=LevenbergMarquardt(), optimizer_state=state, verbose=0)
    np.testing.assert_array_equal(once.params, twice.params)


@both
def test_loss_never_rises_in_full_batches(kind, rng):
    """From a damping with which the first steps are far too long."""
    X, y = rng.normal(size=(N, 3)) * 50, rng.normal(size=(N, 2)) * 1e3
    nets, last = nets_of(kind, (3, 5, 2), hidden_activation="softplus"), np.inf
    for _ in range(30):
        loss = nets.fit(X, y, epochs=1, optimizer=LevenbergMarquardt(damping=1e-8), verbose=0).loss
        assert (loss <= last).all()
        last = loss
    assert np.isfinite(nets.params).all()


@both
def test_a_loss_that_is_not_finite_ends_the_fit(kind):
    X, y = np.full((3, 2), 1e300), np.ones((3, 1))
    nets = nets_of(kind, (2, 2, 1), hidden_activation="identity")
    before = nets.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning):
        nets.fit(X, y, epochs=3, optimizer=LevenbergMarquardt(), verbose=0)
    np.testing.assert_array_equal(nets.params, before)


@both
def test_early_stopping_and_validation(kind, rng):
    X, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 1))
    nets = nets_of(kind, (2, 8, 1), hidden_activation="tanh")
    stopping = {"validation_fraction": 0.3, "early_stopping": EarlyStopping(4)}
    result = nets.fit(X, y, epochs=80, optimizer="levenbergmarquardt", verbose=0, **stopping)
    assert np.max(result.epochs) < 80
    assert set(np.atleast_1d(result.stopped_by)) == {"early_stopping"}


@pytest.mark.parametrize(
    "space, message",
    [
        ({"optimizer": ["adam", "levenbergmarquardt"], "dropout": [0.0, 0.1]}, "which dropout makes random"),
        ({"optimizer": ["adam", "levenbergmarquardt"], "loss": ["huber"]}, "needs a loss whose second derivative"),
    ],
)
def test_a_sweep_says_so_before_it_trains(space, message, rng, monkeypatch):
    monkeypatch.setattr(Population, "fit", None)
    with pytest.raises(ValueError, match=message):
        fastmlp.sweep(rng.normal(size=(30, 2)), rng.normal(size=30), space, n=9)


def test_dropout_of_one_net_of_several_is_refused():
    nets = Population((2, 3, 1), 3, dropout=np.array([0.0, 0.1, 0.0]))
    with pytest.raises(ValueError, match="which dropout makes random"):
        nets.fit(np.zeros((4, 2)), np.zeros(4), optimizer=LevenbergMarquardt(), verbose=0)


def test_rounding_is_no_fall_of_the_loss(rng):
    """At a stationary point of many samples, the damping must not shrink by steps that move nothing."""
    X, state = rng.normal(size=(60_000, 2)), fastmlp.OptimizerState()
    net = MLP((2, 3, 1), hidden_activation="tanh", init="zeros", dtype="float64")
    net.fit(X, np.zeros(60_000), epochs=3, optimizer=LevenbergMarquardt(), optimizer_state=state, verbose=0)
    assert (net.params == 0).all()
    assert state.scalars[0] >= 1.0


BAD = [
    ({"loss": "absolute_error"}, {}, "needs a loss whose second derivative is above 0"),
    ({"loss": "huber"}, {}, "needs a loss whose second derivative is above 0"),
    ({"dropout": 0.1}, {}, "which dropout makes random"),
    ({"hidden": 100_000}, {}, "The Gauss-Newton matrices of .* parameters would take"),
    ({}, {"damping": 0.0}, "damping must be"),
    ({}, {"clip_norm": 1.0}, "has no use for clip_norm"),
    ({}, {"weight_decay": 0.1}, "has no use for weight_decay"),
    ({}, {"learning_rate_factors": {"biases": 0.1}}, "has no use for learning_rate_factors"),
]


@pytest.mark.parametrize("several", [False, True], ids=["net", "nets"])
@pytest.mark.parametrize("settings, optimizer, message", BAD, ids=[row[2] for row in BAD])
def test_what_it_cannot_do_is_said(settings, optimizer, message, several):
    settings = dict(settings)
    sizes = 2, settings.pop("hidden", 3), 1
    nets = Population(sizes, 5, **settings) if several else MLP(sizes, **settings)
    before = nets.params.copy()
    with pytest.raises(ValueError, match=message):
        nets.fit(np.zeros((4, 2)), np.zeros(4), optimizer=LevenbergMarquardt(**optimizer), verbose=0)
    np.testing.assert_array_equal(nets.params, before)


def test_work_of_steps_bounds_the_first_kernel_call(monkeypatch):
    """A step costs far more than a gradient: a call, in which Ctrl-C waits, must not have thousands of them."""
    X, y, n_calls = np.linspace(-1, 1, 60)[:, None] * np.ones(10), np.zeros(60), []
    train = backend.train

    def counted(*arguments):
        n_calls.append(arguments[-1])
        return train(*arguments)

    monkeypatch.setattr(backend, "train", counted)
    MLP((10, 40, 25, 1), random_state=0).fit(X, y, epochs=6, optimizer=LevenbergMarquardt(), verbose=0)
    assert n_calls[0] == 1
    assert sum(n_calls) == 6


@both
def test_damping_falls_with_a_small_learning_rate(kind, rng):
    """On a quadratic problem, the model is right whatever the length of the step is."""
    X = rng.normal(size=(N, 3))
    nets = MLP((3, 1), random_state=0) if kind == "net" else Population((3, 1), 20, random_state=0)
    best = np.linalg.lstsq(np.hstack([X, np.ones((N, 1))]), X[:, 0] * X[:, 1], rcond=None)[1] / N
    result = nets.fit(X, X[:, 0] * X[:, 1], epochs=120, optimizer=LevenbergMarquardt(0.1), verbose=0)
    assert np.max(result.loss[-1:]) < 1.001 * best


def test_estimators_take_whole_steps(rng):
    X = rng.normal(size=(300, 3))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    settings = {"activation": "tanh", "hidden_layer_sizes": (8,), "max_iter": 100, "random_state": 0}
    losses = [
        fastmlp.MLPRegressor(solver=solver, **settings).fit(X, y).loss_
        for solver in ("levenbergmarquardt", LevenbergMarquardt())
    ]
    assert losses[0] == losses[1]
    assert losses[0] < 0.01


def test_one_hidden_unit_of_nguyen_and_widrow_has_its_region_in_the_middle():
    assert MLP((1, 1, 1), init=fastmlp.NguyenWidrow(), random_state=0).biases[0].tolist() == [0.0]
