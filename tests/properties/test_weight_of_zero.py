"""Samples of weight 0 contribute nothing, even if their outputs or losses overflow, in every kernel family."""

import kernel_families
import numpy as np
import pytest

from fastmlp import MLP, SGD, Adam, EarlyStopping, Population
from fastmlp.execution import thresholds, unrolled_code
from fastmlp.kernels.cpu.unrolled import compiled_single_net

HUGE = {"squared_error": 1e25, "poisson": 1e4}  # an input with which the loss, or already the output, is infinite


def samples(n, n_inputs, n_outputs, loss, seed=0):
    """Return (inputs whose row 2 overflows, the same with an ordinary row there, targets, weights)."""
    rng = np.random.default_rng(seed)
    X, y, weight = rng.normal(size=(n, n_inputs)), rng.random((n, n_outputs)), rng.random(n) + 0.5
    weight[2] = 0.0
    overflowing = X.copy()
    overflowing[2] = HUGE[loss]
    return overflowing, X, y, weight


def make_net(sizes, loss):
    net = MLP(sizes, hidden_activation="relu", loss=loss, random_state=0)
    for W, b in zip(net.weights, net.biases, strict=True):  # positive weights: outputs of the row grow with its inputs
        W[:] = np.abs(W) / 4
        b[:] = 0.1
    return net


def assert_row_is_left_out(make, loss, n, **settings):
    """Assert that fits and evaluations do not depend on the row of weight 0, and are finite."""
    found = []
    for which in (0, 1):
        net, (*inputs, y, weight) = make(), samples(n, 3, 2, loss)
        fit = {"epochs": 3, "optimizer": SGD(0.01), "sample_weight": weight, "verbose": 0} | settings
        history = net.fit(inputs[which], y, metrics=["squared_error", "absolute_error"], **fit)
        figures = net.evaluate(inputs[which], y, sample_weight=weight)
        found.append([history.loss, net.params, figures["loss"], *history.metrics.values()])
    for overflowing, ordinary in zip(*found, strict=True):
        assert np.isfinite(ordinary).all()
        np.testing.assert_array_equal(overflowing, ordinary)


@pytest.mark.parametrize("loss", HUGE)
@pytest.mark.parametrize("shuffle", (False, True))
@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_one_net_leaves_out_a_sample_of_weight_zero_that_overflows(family, shuffle, loss, monkeypatch):
    kernel_families.use(family, monkeypatch)
    sizes, rows = (3, 18, 2), kernel_families.rows_for(family, 20)
    assert_row_is_left_out(lambda: make_net(sizes, loss), loss, 2 * rows, batch_size=rows, shuffle=shuffle)


def test_a_batch_of_one_sample_of_weight_zero_may_overflow(monkeypatch):
    kernel_families.use("layerwise", monkeypatch)
    assert_row_is_left_out(
        lambda: make_net((3, 18, 2), "squared_error"), "squared_error", 4, batch_size=1, shuffle=False
    )


@pytest.mark.parametrize("loss", HUGE)
@pytest.mark.parametrize("batch_size", (1, 4))
@pytest.mark.parametrize("optimizer", (SGD(0.01), Adam(0.01)), ids=("sgd", "adam"))
def test_unrolled_code_leaves_out_a_sample_of_weight_zero_that_overflows(optimizer, batch_size, loss, monkeypatch):
    calls, ask = [], compiled_single_net.address_for
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    monkeypatch.setattr(compiled_single_net, "address_for", lambda *given: calls.append(ask(*given)) or calls[-1])
    for n in (4, 3):  # with three samples a lane is empty
        settings = {"batch_size": min(batch_size, n), "optimizer": optimizer}
        assert_row_is_left_out(lambda: make_net((3, 2, 2), loss), loss, n, **settings)
    assert calls
    assert all(calls)


@pytest.mark.parametrize("loss", HUGE)
@pytest.mark.parametrize("case", ("unrolled", "unrolled, shuffled", "loops", "loops, shuffled", "data of each net"))
def test_nets_in_lanes_leave_out_a_sample_of_weight_zero_that_overflows(case, loss):
    hidden = 2 if case.startswith("unrolled") else 18

    def make():
        nets = [make_net((3, hidden, 2), loss) for _ in range(3)]
        pop = Population((3, hidden, 2), 3, hidden_activation="relu", loss=loss, random_state=0)
        for params, net in zip(pop.params, nets, strict=True):
            params[:] = net.params
        return pop

    results = []
    for which in (0, 1):
        pop, (*inputs, y, weight) = make(), samples(13, 3, 2, loss)
        X, held_out = inputs[which], (inputs[which], y, weight)
        if case == "data of each net":
            X, weight = np.stack([X] * 3), np.stack([weight, 2 * weight, weight**2])
        fit = {"epochs": 3, "batch_size": 8, "optimizer": SGD(0.01), "shuffle": case.endswith("shuffled")}
        with unrolled_code.unrolled_nets_at_once():
            result = pop.fit(
                X,
                y,
                sample_weight=weight,
                validation_data=held_out,
                early_stopping=EarlyStopping(9, "validation_loss"),
                verbose=0,
                **fit,
            )
        results.append([result.loss, result.best_value, pop.params, pop.evaluate(X, y, sample_weight=weight)["loss"]])
    for overflowing, ordinary in zip(*results, strict=True):
        assert np.isfinite(ordinary).all()
        np.testing.assert_array_equal(overflowing, ordinary)
