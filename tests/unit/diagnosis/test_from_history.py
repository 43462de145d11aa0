"""Diagnosis without samples, from the records of a fit."""

import numpy as np
import pytest
import toy_data as data

import fastmlp
from fastmlp import MLP, SGD, Adam, DivergenceWarning, History, diagnose


def with_records(loss, validation=None, **settings):
    net = MLP((4, 8, 3), loss="softmax_cross_entropy", random_state=0)
    history = History(net)
    history.loss = np.asarray(loss, float)
    history.validation_loss = None if validation is None else np.asarray(validation, float)
    history.settings = {"n_samples": 200, **settings}
    return history


FALL = np.linspace(1.1, 0.1, 100)


def test_over_fitting_is_recognised_from_records():
    validation = np.concatenate([np.linspace(1.1, 0.6, 30), np.linspace(0.6, 0.9, 70)])
    found = diagnose(with_records(FALL, validation))
    assert found.verdict == "over_fitting"
    assert found.evidence["best epoch"] == pytest.approx(30, abs=1)
    assert found.remedy.startswith("The loss of the kept epoch is 0.1 in training and 0.9 in validation. Stop earlier")
    assert found.judged_on == "the records of the fit alone, without samples"


def test_early_best_epoch_is_not_still_learning():
    validation = np.concatenate([np.linspace(1.1, 0.6, 60), np.linspace(0.6, 0.62, 40)])
    history = with_records(np.linspace(1.1, 0.55, 100), validation)
    history.best_epoch, history.stopped_by = 59, "early_stopping"
    found = diagnose(history)
    assert found.verdict != "still_learning"
    assert "still_learning" not in found.others
    assert "Train on" not in found.remedy


def test_falling_losses_are_still_learning():
    found = diagnose(with_records(FALL, FALL + 0.02))
    assert found.verdict == "still_learning"
    assert found.remedy.startswith("Train on: at this rate the validation loss converges")


def test_constant_loss_gives_an_unclear_verdict():
    found = diagnose(with_records(np.full(100, 0.4)))
    assert (found.verdict, found.is_sure) == ("unclear", False)
    assert found.remedy.startswith("Give samples")
    assert "Not sure" in str(found)
    assert "Not sure" in found._repr_html_()


def test_divergence_is_recognised_from_records():
    X, y = data.friedman(0)
    net = MLP((5, 16, 1), random_state=0)
    with pytest.warns(DivergenceWarning):
        net.fit(X, y, epochs=50, optimizer=SGD(50.0), verbose=0)
    net.history.samples = {}
    assert diagnose(net).verdict == "learning_rate_too_high"


def test_samples_of_a_fit_in_this_process_are_used(tmp_path):
    X, y = data.moons(0)
    net = MLP((2, 16, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    net.fit(X, y, epochs=300, optimizer=Adam(0.03), validation_fraction=0.3, verbose=0)
    assert "explained in validation" in diagnose(net).evidence
    net.save(tmp_path / "net.safetensors")
    assert diagnose(fastmlp.load(tmp_path / "net.safetensors")).judged_on.startswith("the records of the fit alone")


def test_missing_samples_and_empty_histories_raise():
    with pytest.raises(ValueError, match="Give samples X and y"):
        diagnose(MLP((2, 1)))
    with pytest.raises(ValueError, match="the history has no finished epoch"):
        diagnose(History(MLP((2, 1))))
    with pytest.raises(ValueError, match="Give both X and y, or neither"):
        diagnose(MLP((2, 1)), np.ones((3, 2)))
