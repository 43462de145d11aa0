"""Nets that are trained without one fold each."""

import numpy as np
import pytest
from interrupted_fits import with_sigint

from fastmlp import Population
from fastmlp.class_probabilities import logits
from fastmlp.population_training.from_histories import result_of_histories
from fastmlp.table_training.fit import Rows, fit_nets
from fastmlp.table_training.folds import fit_folds, fold_numbers
from fastmlp.table_training.recipe import Recipe

SMALL = Recipe(hidden=(8,), epochs=3, dropout=0.0)


def test_folds_are_equal_parts_of_the_rows_and_of_each_class(rng):
    classes = np.repeat([0, 1, 2], [50, 23, 2])
    folds = fold_numbers(classes, 75, 5, rng)
    assert np.bincount(folds).tolist() == [15] * 5
    for k, size in enumerate((50, 23, 2)):
        counts = np.bincount(folds[classes == k], minlength=5)
        assert counts.sum() == size
        assert counts.max() - counts.min() <= 1
    with pytest.raises(ValueError, match="n_folds is 5, but there are only 4 rows"):
        fold_numbers(None, 4, 5, rng)


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(60, 2)).astype(np.float32)
    return Rows(X, X[:, 0] - X[:, 1])


def nets(n_nets=6):
    return Population((2, 8, 1), n_nets, device="cpu", random_state=0)


def test_each_net_is_trained_without_its_fold_and_predicts_it(rows, rng):
    folds, seen = fold_numbers(None, 60, 3, rng), []

    def fit_one(net, training, held_out, k):
        seen.append((len(training.X), len(held_out.X), k))
        assert not set(training.y.tolist()) & set(held_out.y.tolist())
        return fit_nets(net, training, held_out, SMALL, verbose=0)

    found, outputs = fit_folds(nets(), rows, folds, fit_one)
    assert seen == [(40, 20, k) for k in range(6)]
    assert outputs.shape == (2, 60, 1)
    for k in range(6):
        held = folds == k // 2
        np.testing.assert_allclose(outputs[k % 2, held], logits(found.nets.net(k), rows.X[held]), rtol=1e-5)
    assert not found.interrupted
    result = found.nets.result
    assert result.n_nets == 6
    assert result.epochs.tolist() == [history.epochs for history in found.histories]
    assert result.best_value[2] == found.histories[2].validation_loss.min()
    assert (
        type(result)
        .from_arrays(
            result.arrays(),
            6,
            **{"monitor": "validation_loss", "seconds": 1.0}
            | {"interrupted": False, "judged_by": "finite loss", "compile_seconds": 0.0, "arguments": {}},
        )
        .n_nets
        == 6
    )


def test_nets_that_had_begun_are_kept_after_an_interruption(rows, rng):
    def fit_one(net, training, held_out, k):
        history = fit_nets(net, training, held_out, SMALL, verbose=0)
        if k == 3:
            history.stopped_by = "interrupt"
        return history

    folds = fold_numbers(None, 60, 3, rng)
    found, outputs = fit_folds(nets(), rows, folds, fit_one)
    assert found.interrupted
    assert (found.nets.n_nets, len(found.histories)) == (4, 4)
    assert found.nets.result.stopped_by.tolist()[-1] == "interrupt"
    assert np.isnan(outputs[:, folds == 2]).all()
    assert np.isfinite(outputs[:, folds < 2]).all()


def test_an_interruption_before_the_first_epoch_leaves_one_untrained_net(rows, rng):
    def fit_one(net, training, held_out, k):
        before = net.params.copy()
        history = fit_nets(net, training, held_out, SMALL, verbose=0)
        for name in ("loss", "validation_loss"):
            setattr(history, name, np.zeros(0))
        net.params[:] = before
        history.stopped_by, history.best_epoch = "interrupt", None
        return history

    found, outputs = fit_folds(nets(), rows, fold_numbers(None, 60, 3, rng), fit_one)
    assert (found.nets.n_nets, found.interrupted) == (1, True)
    assert found.nets.result.epochs.tolist() == [0]
    assert np.isnan(found.nets.result.loss).all()
    assert np.isnan(outputs).all()


def test_records_of_nets_that_stopped_before_others_end_in_nan(rows):
    histories = []
    for epochs in (40, 9):
        net = nets(1).net(0)
        histories.append(fit_nets(net, rows, rows, Recipe(hidden=(8,), epochs=epochs), verbose=0))
    result = result_of_histories(histories, False, "validation_loss")
    assert result.records.shape == (len(result.record_epochs), 2)
    assert np.isfinite(result.records[:, 0]).all()
    assert np.isnan(result.records[result.record_epochs > 9, 1]).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_two_fits_keeps_the_nets_that_are_trained(rows, rng, monkeypatch):
    monkeypatch.setattr("fastmlp.table_training.folds.logits", with_sigint(logits, 2))
    fit_one = lambda net, training, held_out, k: fit_nets(net, training, held_out, SMALL, verbose=0)
    folds, before = fold_numbers(None, 60, 3, rng), nets().params
    found, outputs = fit_folds(nets(), rows, folds, fit_one)
    assert found.interrupted
    assert found.nets.result.interrupted
    assert found.n_begun == found.nets.n_nets == len(found.histories) == 2
    assert "interrupt" not in found.nets.result.stopped_by, "both have come to their end"
    assert (found.nets.params != before[:2]).any(axis=1).all()
    assert np.isfinite(outputs[0, folds == 0]).all()
    assert np.isnan(outputs[1]).all(), "the second net has not predicted"
    assert np.isnan(outputs[0, folds > 0]).all()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_first_net_has_begun_is_raised(rows, rng, monkeypatch):
    monkeypatch.setattr(Rows, "take", with_sigint(Rows.take))
    fit_one = lambda net, training, held_out, k: fit_nets(net, training, held_out, SMALL, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        fit_folds(nets(), rows, fold_numbers(None, 60, 3, rng), fit_one)
