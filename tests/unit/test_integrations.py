"""OptunaPruning with the real Optuna: which trials end, and what is left of them."""

import numpy as np
import pytest
from required_libraries import library
from toy_data import blobs

import fastmlp
from fastmlp.integrations import OptunaPruning

optuna = library("optuna", extras="trackers")
optuna.logging.set_verbosity(optuna.logging.WARNING)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
X, Y = blobs(0, n=60)


def fit(callback, epochs=8, **options):
    net = fastmlp.MLP((4, 5, 3), loss="softmax_cross_entropy", random_state=0)
    return net, net.fit(X, Y, epochs=epochs, callbacks=[callback], verbose=0, **options)


def test_a_pruned_trial_ends_in_its_epoch_with_finite_parameters():
    nets = []

    def objective(trial):
        net = fastmlp.MLP((4, 5, 3), loss="softmax_cross_entropy", random_state=0)
        nets.append(net)
        history = net.fit(X, Y, epochs=8, callbacks=[OptunaPruning(trial, metric="loss")], verbose=0)
        return history.loss[-1]

    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=3))
    study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "PRUNED"]
    assert [sorted(trial.intermediate_values) for trial in study.trials] == [[0, 1, 2, 3]] * 2
    for net in nets:
        assert (net.history.epochs, net.history.stopped_by) == (4, "error")
        assert np.isfinite(net.params).all()


@pytest.mark.parametrize("metric, options", [("validation_accuracy", {"validation_data": (X, Y)}), ("loss", {})])
def test_a_trial_that_goes_on_reports_its_record_at_intervals(metric, options):
    direction = "maximize" if "accuracy" in metric else "minimize"
    study = optuna.create_study(pruner=optuna.pruners.NopPruner(), direction=direction)
    _, history = fit(OptunaPruning(study.ask(), metric=metric, every=3), **options)
    assert study.trials[0].intermediate_values == {epoch: history.record(metric)[epoch] for epoch in (2, 5, 7)}


def test_early_stopping_keeps_the_best_epoch_of_a_pruned_trial():
    trial = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=5)).ask()
    net = fastmlp.MLP((4, 5, 3), loss="softmax_cross_entropy", random_state=0)
    callback = OptunaPruning(trial)
    with pytest.raises(optuna.TrialPruned, match="Pruned after epoch 6, with validation_loss"):
        net.fit(X, Y, epochs=9, validation_data=(X, Y), early_stopping=5, callbacks=callback, verbose=0)
    best = net.history.validation_loss[net.history.best_epoch]
    assert net.evaluate(X, Y)["loss"] == pytest.approx(best, rel=1e-5)


def test_bad_arguments_raise():
    trial = optuna.create_study().ask()
    with pytest.raises(ValueError, match=r"direction of the study is 'minimize', but .* larger: use .*'maximize'"):
        OptunaPruning(trial, metric="validation_accuracy")
    with pytest.raises(ValueError, match="trial must be the trial that Optuna gives"):
        OptunaPruning(None)
    with pytest.raises(ValueError, match="every must be a whole number"):
        OptunaPruning(trial, every=0)
    with pytest.raises(ValueError, match="There is no validation_loss to monitor"):
        fit(OptunaPruning(trial))


def test_a_trial_without_a_study_is_repeated():
    fit(OptunaPruning(optuna.trial.FixedTrial({}), metric="loss"))
