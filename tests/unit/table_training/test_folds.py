"""Nets that are trained without one fold each."""

import signal
import threading
import warnings

import numpy as np
import pytest
from interrupted_fits import with_sigint

from fastmlp import DivergenceWarning, Population
from fastmlp.class_probabilities import logits
from fastmlp.execution.dispatch import IN_TURN, FitsAtOnce
from fastmlp.runtime.ctrl_c import StopFlag, stop_flag
from fastmlp.table_training.folds import fit_folds, folds_at_once
from fastmlp.table_training.recipe_fit import fit_nets
from fastmlp.table_training.recipes import Recipe
from fastmlp.table_training.rows import Rows, fold_numbers

SMALL = Recipe(hidden=(8,), epochs=3, dropout=0.0)
FOLDS = fold_numbers(None, 60, 3, np.random.RandomState(0))


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(60, 2)).astype(np.float32)
    return Rows(X, X[:, 0] - X[:, 1])


def nets(n_nets=6):
    return Population((2, 8, 1), n_nets, device="cpu", random_state=0)


def test_each_net_is_trained_without_its_fold_and_predicts_it(rows, rng):
    seen = []

    def fit_one(net, training, held_out, k):
        seen.append((len(training.X), len(held_out.X), k))
        assert not set(training.y.tolist()) & set(held_out.y.tolist())
        return fit_nets(net, training, held_out, SMALL, verbose=0)

    found, outputs = fit_folds(nets(), rows, FOLDS, fit_one, StopFlag())
    assert seen == [(40, 20, k) for k in range(6)]
    assert outputs.shape == (2, 60, 1)
    for k in range(6):
        held = k // 2 == FOLDS
        np.testing.assert_allclose(outputs[k % 2, held], logits(found.nets.net(k), rows.X[held]), rtol=1e-5)
    assert not found.interrupted
    result = found.nets.result
    assert (result.n_nets, result.epochs.tolist()) == (6, [3] * 6)
    assert found.nets.net(2).evaluate(*rows.take(np.flatnonzero(FOLDS == 1))[:2])["loss"] == pytest.approx(
        result.best_value[2], rel=1e-5
    )


def test_nets_that_had_begun_are_kept_after_an_interruption(rows, rng):
    def fit_one(net, training, held_out, k):
        history = fit_nets(net, training, held_out, SMALL, verbose=0)
        if k == 3:
            history.stopped_by = "interrupt"
        return history

    found, outputs = fit_folds(nets(), rows, FOLDS, fit_one, StopFlag())
    assert found.interrupted
    assert found.nets.n_nets == 4
    assert found.nets.result.stopped_by.tolist()[-1] == "interrupt"
    assert np.isnan(outputs[:, FOLDS == 2]).all()
    assert np.isfinite(outputs[:, FOLDS < 2]).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_two_fits_keeps_the_nets_that_are_trained(rows, rng, monkeypatch):
    monkeypatch.setattr("fastmlp.table_training.folds.logits", with_sigint(logits, 2))
    before = nets().params
    with stop_flag() as flag:
        found, outputs = fit_folds(nets(), rows, FOLDS, fit_small, flag)
    assert found.interrupted
    assert found.nets.result.interrupted
    assert found.n_begun == found.nets.n_nets == 2
    assert "interrupt" not in found.nets.result.stopped_by, "both have come to their end"
    assert (found.nets.params != before[:2]).any(axis=1).all()
    assert np.isfinite(outputs[:, FOLDS == 0]).all()
    assert np.isnan(outputs[:, FOLDS > 0]).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_first_net_has_begun_is_raised(rows, rng, monkeypatch):
    monkeypatch.setattr(Rows, "take", with_sigint(Rows.take))
    with stop_flag() as flag, pytest.raises(KeyboardInterrupt):
        fit_folds(nets(), rows, FOLDS, fit_small, flag)


# ---- several at the same time


def fit_small(net, training, held_out, k):
    return fit_nets(net, training, held_out, SMALL, verbose=0)


@pytest.mark.parametrize("at_once", [FitsAtOnce(2, 1), FitsAtOnce(6, 2)])
def test_nets_at_the_same_time_have_the_bits_of_nets_in_turn(rows, rng, at_once):
    found, outputs = fit_folds(nets(), rows, FOLDS, fit_small, StopFlag(), at_once=at_once)
    expected, expected_outputs = fit_folds(nets(), rows, FOLDS, fit_small, StopFlag())
    np.testing.assert_array_equal(found.nets.params, expected.nets.params)
    np.testing.assert_array_equal(outputs, expected_outputs)
    for name in ("records", "best_epoch", "best_value"):
        np.testing.assert_array_equal(getattr(found.nets.result, name), getattr(expected.nets.result, name))
    assert (found.n_begun, found.interrupted, found.nets.fits) == (6, False, 1)


LONG = Recipe(hidden=(8,), epochs=1_000_000, dropout=0.0, patience=1_000_000)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_all_nets_that_are_in_training(rows, rng):
    meeting = threading.Barrier(2, lambda: threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start())

    def fit_one(net, training, held_out, k):
        meeting.wait()
        return fit_nets(net, training, held_out, LONG, verbose=0)

    with stop_flag() as flag:
        found, outputs = fit_folds(nets(), rows, FOLDS, fit_one, flag, at_once=FitsAtOnce(2, 1))
    assert (found.interrupted, found.n_begun, found.nets.n_nets) == (True, 2, 2)
    assert found.nets.result.stopped_by.tolist() == ["interrupt", "interrupt"]
    assert (found.nets.result.epochs > 0).all()
    assert np.isfinite(found.nets.params).all()
    assert np.isfinite(outputs[:, FOLDS == 0]).all()
    assert np.isnan(outputs[:, FOLDS > 0]).all()


def test_an_error_of_one_net_ends_the_others(rows, rng):
    meeting, ended = threading.Barrier(2), []

    def fit_one(net, training, held_out, k):
        meeting.wait()
        if k == 1:
            raise RuntimeError("net 1 fails")
        ended.append(fit_nets(net, training, held_out, LONG, verbose=0).stopped_by)
        return net.history

    with pytest.raises(RuntimeError, match="net 1 fails"):
        fit_folds(nets(), rows, FOLDS, fit_one, StopFlag(), at_once=FitsAtOnce(2, 1))
    assert ended in (["interrupt"], [])  # the other one may not have begun


def test_warnings_of_nets_at_the_same_time_are_at_the_line_of_the_caller(rows, rng):
    diverging = Recipe(hidden=(8,), epochs=50, dropout=0.0, learning_rate=1e30)
    fit_one = lambda net, training, held_out, k: fit_nets(net, training, held_out, diverging, verbose=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_folds(nets(), rows, FOLDS, fit_one, StopFlag(), at_once=FitsAtOnce(2, 1))
    assert {warning.category for warning in caught} == {DivergenceWarning}
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 6


def test_how_many_nets_of_folds_are_trained_at_the_same_time(rows, monkeypatch):
    recipe, chosen = Recipe(hidden=(4,), n_nets=1, n_folds=5), {}
    for n_threads in (1, 2, 3, 4, 5, 16):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n_threads))
        chosen[n_threads] = tuple(folds_at_once(nets(5), recipe, rows))
    assert chosen == {1: IN_TURN, 2: (2, 1), 3: (3, 1), 4: (3, 1), 5: (5, 1), 16: (5, 3)}
    monkeypatch.setattr("fastmlp.execution.dispatch.memory_bytes", lambda: 25 * rows.n_bytes)
    assert folds_at_once(nets(5), recipe, rows) == (2, 8)
