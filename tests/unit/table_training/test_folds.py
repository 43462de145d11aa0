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
from fastmlp.table_training.encoded_rows import EncodedRows, Rows, fold_numbers
from fastmlp.table_training.fits_in_time import fit_nets
from fastmlp.table_training.folds import fit_each, folds_at_once
from fastmlp.table_training.recipes import Recipe

SMALL = Recipe(hidden=(8,), epochs=3, dropout=0.0)
LONG = Recipe(hidden=(8,), epochs=1_000_000, dropout=0.0, patience=1_000_000)
FOLDS = fold_numbers(None, 60, 3, np.random.RandomState(0))
AT_ONCE = FitsAtOnce(2, 1)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 2)).astype(np.float32)
    return EncodedRows(Rows(X, X[:, 0] - X[:, 1]), folds=FOLDS)


def nets(n_nets=6):
    return Population((2, 8, 1), n_nets, device="cpu", random_state=0)


def trained(data, recipe=SMALL, before=lambda k: None, after=lambda k, history: None, flag=None, **further):
    """Nets of two for each of three folds; `before` and `after` are called at each net's fit."""

    def fit_one(net, rows, k):
        before(k)
        after(k, fit_nets(net, rows.training, rows.held_out, recipe, verbose=0))

    return fit_each(nets(), data, fit_one, flag or StopFlag(), **further)


def test_each_net_is_trained_without_its_fold_and_predicts_it(data):
    seen = []

    def fit_one(net, rows, k):
        seen.append((rows.training.n_rows, rows.held_out.n_rows, k))
        assert not set(rows.training.y.tolist()) & set(rows.held_out.y.tolist())
        fit_nets(net, rows.training, rows.held_out, SMALL, verbose=0)

    found = fit_each(nets(), data, fit_one, StopFlag())
    assert seen == [(40, 20, k) for k in range(6)]
    assert found.logits.shape == (2, 60, 1)
    for k in range(6):
        held = k // 2 == FOLDS
        expected = logits(found.nets.net(k), data.training.X[held])
        np.testing.assert_allclose(found.logits[k % 2, held], expected, rtol=1e-5)
    result = found.nets.result
    assert (result.n_nets, result.epochs.tolist(), result.interrupted) == (6, [3] * 6, False)
    loss = found.nets.net(2).evaluate(*data.without(1).held_out[:2])["loss"]
    assert loss == pytest.approx(result.best_value[2], rel=1e-5)


def test_nets_that_had_begun_are_kept_after_an_interruption(data):
    def after(k, history):
        history.stopped_by = "interrupt" if k == 3 else history.stopped_by

    found = trained(data, after=after)
    assert found.nets.result.interrupted
    assert found.nets.n_nets == 4
    assert found.nets.result.stopped_by.tolist()[-1] == "interrupt"
    assert np.isnan(found.logits[:, FOLDS == 2]).all()
    assert np.isfinite(found.logits[:, FOLDS < 2]).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_two_fits_keeps_the_nets_that_are_trained(data, monkeypatch):
    monkeypatch.setattr("fastmlp.table_training.folds.logits", with_sigint(logits, 2))
    with stop_flag() as flag:
        found = trained(data, flag=flag)
    assert found.nets.result.interrupted
    assert found.n_begun == found.nets.n_nets == 2
    assert "interrupt" not in found.nets.result.stopped_by, "both have come to their end"
    assert (found.nets.params != nets().params[:2]).any(axis=1).all()
    assert np.isfinite(found.logits[:, FOLDS == 0]).all()
    assert np.isnan(found.logits[:, FOLDS > 0]).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_first_net_has_begun_is_raised(data, monkeypatch):
    monkeypatch.setattr(Rows, "take", with_sigint(Rows.take))
    with stop_flag() as flag, pytest.raises(KeyboardInterrupt):
        trained(data, flag=flag)


# ---- several at the same time


@pytest.mark.parametrize("at_once", [AT_ONCE, FitsAtOnce(6, 2)])
def test_nets_at_the_same_time_have_the_bits_of_nets_in_turn(data, at_once):
    found, expected = trained(data, at_once=at_once), trained(data)
    np.testing.assert_array_equal(found.nets.params, expected.nets.params)
    np.testing.assert_array_equal(found.logits, expected.logits)
    for name in ("records", "best_epoch", "best_value"):
        np.testing.assert_array_equal(getattr(found.nets.result, name), getattr(expected.nets.result, name))
    assert (found.n_begun, found.nets.result.interrupted, found.nets.fits) == (6, False, 1)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_all_nets_that_are_in_training(data):
    meeting = threading.Barrier(2, lambda: threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start())
    with stop_flag() as flag:
        found = trained(data, LONG, lambda k: meeting.wait(), flag=flag, at_once=AT_ONCE)
    assert (found.nets.result.interrupted, found.n_begun, found.nets.n_nets) == (True, 2, 2)
    assert found.nets.result.stopped_by.tolist() == ["interrupt", "interrupt"]
    assert (found.nets.result.epochs > 0).all()
    assert np.isfinite(found.nets.params).all()
    assert np.isfinite(found.logits[:, FOLDS == 0]).all()
    assert np.isnan(found.logits[:, FOLDS > 0]).all()


def test_an_error_of_one_net_ends_the_others(data):
    meeting, ended = threading.Barrier(2), []

    def before(k):
        meeting.wait()
        if k == 1:
            raise RuntimeError("net 1 fails")

    with pytest.raises(RuntimeError, match="net 1 fails"):
        trained(data, LONG, before, lambda k, history: ended.append(history.stopped_by), at_once=AT_ONCE)
    assert ended in (["interrupt"], [])  # the other one may not have begun


def test_warnings_of_nets_at_the_same_time_are_at_the_line_of_the_caller(data):
    diverging = Recipe(hidden=(8,), epochs=50, dropout=0.0, learning_rate=1e30)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained(data, diverging, at_once=AT_ONCE)
    assert {warning.category for warning in caught} == {DivergenceWarning}
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 6


def test_how_many_nets_of_folds_are_trained_at_the_same_time(data, monkeypatch):
    recipe, rows, chosen = Recipe(hidden=(4,), n_nets=1, n_folds=5), data.training, {}
    for n_threads in (1, 2, 3, 4, 5, 16):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n_threads))
        chosen[n_threads] = tuple(folds_at_once(nets(5), recipe, rows))
    assert chosen == {1: IN_TURN, 2: (2, 1), 3: (3, 1), 4: (3, 1), 5: (5, 1), 16: (5, 3)}
    monkeypatch.setattr("fastmlp.execution.dispatch.memory_bytes", lambda: 25 * (rows.X.nbytes + rows.y.nbytes))
    assert folds_at_once(nets(5), recipe, rows) == (2, 8)
