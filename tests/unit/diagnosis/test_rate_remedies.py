"""Remedies against wrong learning rates: numbers, the given learning rate, and whether to begin again."""

import numpy as np
import pytest
import toy_data as data
from diagnosis_validation import verdict_of
from stuck_by_steps import PLAIN, clouds, numbers
from stuck_nets import RELU, of

from fastmlp import SGD, Adam, diagnose


def diagnosed(optimizer, source=clouds, **settings):
    return verdict_of(of(source, optimizer=optimizer, **PLAIN | RELU | settings)(0))


def named_rate(found):
    return float(found.remedy.split(" to ")[1].split(",")[0].split(":")[0])


@pytest.mark.slow
def test_a_ruined_net_begins_again():
    found = diagnosed(Adam(10.0))
    assert found.verdict == "learning_rate_too_high"
    assert found.remedy.startswith("Lower the learning rate from 10 to 0.0")
    assert ", and begin again from the first weights (net.reset()): a first step longer than 0." in found.remedy
    assert "from its first weights" in found.experiment
    assert found.evidence["dead units"] > 0.8
    assert 0.03 < found.evidence["longest first step"] < 0.3


def test_remedy_of_a_swinging_loss_is_a_tenth_of_the_rate_from_here_on():
    X, y = data.friedman(0)
    young = of(data.friedman, epochs=30, optimizer=Adam(1e-3))(0)
    found = diagnose(young.net, X, y, np.where(np.arange(30) % 2, 0.7, 1.2))
    assert found.verdict == "learning_rate_too_high"
    assert found.remedy.startswith("Lower the learning rate to a tenth")
    assert found.experiment.startswith("Train ten epochs from here")


@pytest.mark.slow
def test_momentum_is_left_out_of_the_learning_rate():
    found = diagnosed(SGD(3.0, momentum=0.9))
    assert found.verdict == "learning_rate_too_high"
    assert found.evidence["learning rate"] == pytest.approx(3.0)
    assert found.remedy.startswith("Lower the learning rate from 3 to ")
    cured = of(clouds, optimizer=SGD(named_rate(found), momentum=0.9), **PLAIN, **RELU)(0)
    assert verdict_of(cured).is_healthy


@pytest.mark.parametrize("optimizer", [Adam(1e-6), SGD(1e-5)], ids=str)
@pytest.mark.slow
def test_higher_learning_rate_of_the_remedy_trains_the_net(optimizer):
    found = diagnosed(optimizer)
    assert found.verdict == "learning_rate_too_low"
    assert found.evidence["steps"] == 30 * 38
    cured = of(clouds, optimizer=type(optimizer)(named_rate(found)), **PLAIN, **RELU)(0)
    assert verdict_of(cured).evidence["explained"] > 0.7


def test_divergence_in_the_first_epoch_is_named_with_a_rate_that_works():
    found = diagnosed(SGD(3.0), numbers)
    assert found.verdict == "learning_rate_too_high"
    cured = of(numbers, optimizer=SGD(named_rate(found)), **PLAIN, **RELU)(0)
    assert np.isfinite(cured.history.loss).all()
    assert verdict_of(cured).is_healthy
