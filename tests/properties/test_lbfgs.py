"""L-BFGS, one net and nets in lanes, compared with a reference in float64 and with SciPy's."""

import numpy as np
import pytest
from reference_net import ReferenceMLP
from scipy.optimize import minimize

import fastmlp
from fastmlp import LBFGS, MLP, Population
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.network.spec import HIDDEN

N, N_NETS, PAIRS = 22, 21, 10


def reference_of(network, params, l2):
    names = [ACTIVATIONS[code].name for code in network.activation_codes]
    return ReferenceMLP(network.layer_sizes, names, network.loss_row.name, params, l2, network.loss_constant)


def reference_train(objective, p, n_steps, rates):
    """Return (parameters, objectives before the steps): the inverse of the second derivatives as a dense matrix.

    objective : function (params) that returns value and gradient
    """
    value, g = objective(p)
    pairs, values, length = [], [], 1.0
    for t in range(n_steps):
        values.append(value)
        if pairs:
            s, y = pairs[-1]
            H = np.eye(len(p)) * (s @ y) / (y @ y)
            for s, y in pairs:  # BFGS updates, the oldest first
                V = np.eye(len(p)) - np.outer(y, s) / (s @ y)
                H = V.T @ H @ V + np.outer(s, s) / (s @ y)
            d = H @ g
        else:
            d = g / np.linalg.norm(g)
        step = rates[t] * length * d
        fall = step @ g
        new_value, new_g = objective(p - step)
        if new_value <= value - 1e-4 * fall:
            if -step @ (new_g - g) > 1e-10 * ((new_g - g) @ (new_g - g)):
                pairs = [*pairs, (-step, new_g - g)][-PAIRS:]
            p, value, g, length = p - step, new_value, new_g, 1.0
        else:
            length *= np.clip(0.5 * fall / (new_value - value + fall), 0.1, 0.5)
    return p, np.array(values)


def targets(loss, rng, shape):
    if loss == "softmax_cross_entropy":
        return np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    if loss == "poisson":
        return rng.poisson(2.0, shape).astype(float)
    return 0.1 + 0.8 * rng.random(shape)


def assert_follows(kind, nets, X, y, n_steps=14, weight=None, rtol=1e-5, factors=None, **fit):
    network = nets.network
    start = nets.params.copy().reshape(-1, network.layout.n_params)
    result = nets.fit(X, y, epochs=n_steps, optimizer=LBFGS(), sample_weight=weight, **fit)
    params, l2 = nets.params.reshape(start.shape), np.broadcast_to(getattr(nets, "l2", network.l2), len(start))
    for net in range(0, len(start), 4):

        def objective(p, net=net):
            model = reference_of(network, p, l2[net])
            return model.loss_and_gradient(X, y, weight)

        expected, values = reference_train(
            objective, start[net], n_steps, np.ones(n_steps) if factors is None else factors
        )
        np.testing.assert_allclose(params[net], expected, rtol=rtol, atol=rtol)
        if kind == "net":
            assert (result.loss <= values + 1e-9).all()  # without the penalty


def nets_of(kind, sizes, **settings):
    if kind == "net":
        return MLP(sizes, dtype="float64", random_state=1, **settings)
    nets = Population(sizes, N_NETS, dtype="float64", random_state=1, **settings)
    nets.params[0] *= 3.0
    return nets


both = pytest.mark.parametrize("kind", ["net", "lanes"])


@both
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
@pytest.mark.quick
def test_steps_equal_the_reference(kind, loss, rng):
    """With penalties and weights, of which two are 0."""
    weight = rng.random(N)
    weight[4:6] = 0.0
    X, y = rng.normal(size=(N, 2)), targets(loss, rng, (N, 3))
    nets = nets_of(kind, (2, 4, 3), hidden_activation="tanh", loss=loss, l2=0.01)
    assert_follows(kind, nets, X, y, weight=weight / weight.mean(), n_steps=8 if loss == "absolute_error" else 14)


@both
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(kind, activation, rng):
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 2))
    nets = nets_of(kind, (2, 3, 3, 2), hidden_activation=activation, init=fastmlp.Uniform(-1.0, 1.0))
    assert_follows(kind, nets, X, y, n_steps=8, rtol=1e-4)


@both
def test_a_schedule_multiplies_the_steps(kind, rng):
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 1))
    schedule = fastmlp.schedules.Cosine()
    factors = schedule.factors(np.arange(14), 14)
    assert_follows(kind, nets_of(kind, (2, 4, 1)), X, y, schedule=schedule, factors=factors)


def test_nets_with_samples_and_settings_of_their_own(rng):
    X, y = rng.normal(size=(9, N, 2)), rng.normal(size=(9, N, 1))
    rates, l2 = np.linspace(0.1, 1.0, 9), np.linspace(0.0, 0.1, 9)
    nets = Population((2, 3, 1), 9, hidden_activation="tanh", dtype="float64", l2=l2, random_state=0)
    start = nets.params.copy()
    nets.fit(X, y, epochs=10, optimizer=LBFGS(rates))
    for net in range(9):
        objective = lambda p, net=net: reference_of(nets.network, p, l2[net]).loss_and_gradient(X[net], y[net])
        expected, _ = reference_train(objective, start[net], 10, np.full(10, rates[net]))
        np.testing.assert_allclose(nets.params[net], expected, rtol=1e-5, atol=1e-5)


@both
def test_losses_are_those_of_scipy(kind, rng):
    """After as many iterations of L-BFGS-B, whose line search is another one: in the mean over nets."""
    X = rng.normal(size=(200, 3))
    y = np.sin(2 * X[:, :1]) + X[:, 1:2] * X[:, 2:]
    nets = [nets_of("net", (3, 12, 1), hidden_activation="tanh") for _ in range(5)]
    for seed, net in enumerate(nets):
        net.params = np.random.default_rng(seed).normal(size=net.params.shape) / 2
    pop = Population((3, 12, 1), 5, hidden_activation="tanh", dtype="float64")
    pop.params = [net.params for net in nets]
    if kind == "net":
        ours = [net.fit(X, y, epochs=150, optimizer="lbfgs").loss[-1] for net in nets]
        start = pop.params
    else:
        start = pop.params.copy()
        ours = pop.fit(X, y, epochs=150, optimizer="lbfgs").loss
    options = {"maxiter": 150, "ftol": 0.0, "gtol": 0.0}
    theirs = [minimize(nets[0].objective(X, y), p, jac=True, method="L-BFGS-B", options=options).fun for p in start]
    assert np.mean(np.log(ours)) < np.mean(np.log(theirs)) + 0.3


def test_fits_in_two_parts_are_one_fit(rng, tmp_path):
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 1))
    once, twice, resumed = (MLP((2, 3, 1), dtype="float64", random_state=0) for _ in range(3))
    once.fit(X, y, epochs=24, optimizer="lbfgs")
    state, checkpoint = fastmlp.OptimizerState(), fastmlp.Checkpoint(tmp_path / "fit", every=1)
    for _ in range(2):
        twice.fit(X, y, epochs=12, optimizer="lbfgs", optimizer_state=state)
    np.testing.assert_array_equal(once.params, twice.params)
    MLP((2, 3, 1), dtype="float64", random_state=0).fit(X, y, epochs=7, optimizer="lbfgs", checkpoint=checkpoint)
    resume = fastmlp.Checkpoint(tmp_path / "fit", every=1, resume=True)
    resumed.fit(X, y, epochs=24, optimizer="lbfgs", checkpoint=resume)
    np.testing.assert_array_equal(once.params, resumed.params)


def test_buffers_of_a_fit_by_another_rule_are_too_small(rng):
    X, y = rng.normal(size=(N, 2)), rng.normal(size=(N, 1))
    fresh, after = (MLP((2, 13, 1), dtype="float64", random_state=0) for _ in range(2))
    fresh.fit(X, y, epochs=9, optimizer="lbfgs")
    after.fit(X, y, epochs=2, batch_size=None)
    after.reset().fit(X, y, epochs=9, optimizer="lbfgs")
    np.testing.assert_array_equal(fresh.params, after.params)


@both
def test_losses_never_rise(kind, rng):
    X, y = rng.normal(size=(N, 3)) * 50, rng.normal(size=(N, 2)) * 1e3
    nets, state, last = nets_of(kind, (3, 5, 2), hidden_activation="softplus"), fastmlp.OptimizerState(), np.inf
    for _ in range(30):
        loss = nets.fit(X, y, epochs=1, optimizer="lbfgs", optimizer_state=state).loss
        assert (loss <= last).all()
        last = loss
    assert np.isfinite(nets.params).all()


@both
def test_a_loss_that_is_not_finite_ends_the_fit(kind):
    nets = nets_of(kind, (2, 2, 1), hidden_activation="identity")
    before = nets.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning):
        nets.fit(np.full((3, 2), 1e300), np.ones((3, 1)), epochs=3, optimizer="lbfgs")
    np.testing.assert_array_equal(nets.params, before)


BAD = [
    ({"dropout": 0.1}, {}, {}, "which dropout makes random"),
    ({}, {"clip_norm": 1.0}, {}, "has no use for clip_norm"),
    ({}, {"weight_decay": 0.1}, {}, "has no use for weight_decay"),
    ({}, {}, {"batch_size": 2}, "compares gradients of the same samples, but batch_size is 2 of 4 samples"),
]


@pytest.mark.parametrize("several", [False, True], ids=["net", "nets"])
@pytest.mark.parametrize("settings, optimizer, fit, message", BAD, ids=[row[3] for row in BAD])
def test_what_it_cannot_do_is_said(settings, optimizer, fit, message, several):
    nets = Population((2, 3, 1), 5, **settings) if several else MLP((2, 3, 1), **settings)
    with pytest.raises(ValueError, match=message):
        nets.fit(np.zeros((4, 2)), np.zeros(4), optimizer=LBFGS(**optimizer), **fit)
