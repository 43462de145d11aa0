"""Samples of weight 0 contribute nothing, even if their outputs or losses overflow, in every kernel family."""

import kernel_families
import numpy as np
import pytest

from fastmlp import MLP, SGD, Adam, EarlyStopping, Population
from fastmlp.execution import thresholds, unrolled_code
from fastmlp.kernels.cpu.unrolled import compiled

N_NETS = 30  # so many that a CPU trains them in lanes
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


def assert_equal_and_finite(found, others):
    for values, other in zip(found, others, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_array_equal(values, other)


def assert_row_is_left_out(sizes, loss, n, **settings):
    """Assert that fits and evaluations do not depend on the row of weight 0, and are finite."""
    found, (*inputs, y, weight) = [], samples(n, 3, 2, loss)
    for X in inputs:
        net = make_net(sizes, loss)
        fit = {"epochs": 3, "optimizer": SGD(0.01), "sample_weight": weight, "verbose": 0} | settings
        history = net.fit(X, y, metrics=["squared_error", "absolute_error"], **fit)
        loss_of_rows = net.evaluate(X, y, sample_weight=weight)["loss"]
        found.append([history.loss, net.params, loss_of_rows, *history.metrics.values()])
    assert_equal_and_finite(*found)


@pytest.mark.parametrize("loss", HUGE)
@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_one_net_leaves_out_a_sample_of_weight_zero_that_overflows(family, loss, monkeypatch):
    kernel_families.use(family, monkeypatch)
    rows = kernel_families.rows_for(family, 20)
    for shuffle in (False, True):
        assert_row_is_left_out((3, 18, 2), loss, 2 * rows, batch_size=rows, shuffle=shuffle)
    if family == "layerwise":
        assert_row_is_left_out((3, 18, 2), "squared_error", 4, batch_size=1, shuffle=False)


@pytest.mark.parametrize("loss, optimizer", [("squared_error", SGD(0.01)), ("poisson", Adam(0.01))], ids=HUGE)
def test_unrolled_code_leaves_out_a_sample_of_weight_zero_that_overflows(optimizer, loss, monkeypatch):
    calls, ask = [], compiled.address_of_net
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    monkeypatch.setattr(compiled, "address_of_net", lambda *given: calls.append(ask(*given)) or calls[-1])
    for batch_size, n in ((1, 4), (4, 4), (3, 3)):  # with three samples a lane is empty
        assert_row_is_left_out((3, 2, 2), loss, n, batch_size=batch_size, optimizer=optimizer)
    assert calls
    assert all(calls)


@pytest.mark.parametrize("loss", HUGE)
@pytest.mark.parametrize("case", ("unrolled", "unrolled, shuffled", "loops", "loops, shuffled", "data of each net"))
def test_nets_in_lanes_leave_out_a_sample_of_weight_zero_that_overflows(case, loss):
    sizes, found, (*inputs, y, weight) = (3, 2 if case.startswith("unrolled") else 18, 2), [], samples(13, 3, 2, loss)
    fit = {"epochs": 3, "batch_size": 8, "optimizer": SGD(0.01), "shuffle": case.endswith("shuffled"), "verbose": 0}
    for X in inputs:
        pop = Population(sizes, N_NETS, hidden_activation="relu", loss=loss, random_state=0)
        pop.params[:] = make_net(sizes, loss).params
        fit |= {"validation_data": (X, y, weight), "early_stopping": EarlyStopping(9, "validation_loss")}
        w = weight
        if case == "data of each net":
            X, w = np.stack([X] * N_NETS), np.stack([weight ** (1 + k % 3) for k in range(N_NETS)])
        with unrolled_code.unrolled_at_once():
            result = pop.fit(X, y, sample_weight=w, **fit)
        found.append([result.loss, result.best_value, pop.params, pop.evaluate(X, y, sample_weight=w)["loss"]])
    assert_equal_and_finite(*found)
