"""Remedies: advice depends on the net's settings and on how it was trained."""

import numpy as np
import pytest
import toy_data as data
from stuck_nets import stuck_relu, train
from validation import verdict_of

from fastmlp import SGD, Adam, diagnose
from fastmlp.diagnosis import remedies
from fastmlp.diagnosis.input_checks import as_curve, as_inputs, as_samples
from fastmlp.diagnosis.measurements import measure
from fastmlp.diagnosis.model_under_test import model_of_fastmlp
from fastmlp.diagnosis.training_settings import TrainingSettings, updates_of


def measured(updates=None, **settings):
    found = train(*data.blobs(0), epochs=30, **settings)
    net, history = found.net, found.history
    subject = model_of_fastmlp(net.network, net.params[None], net.network.l2, np.asarray(net.network.dropout)[None])
    samples = as_samples(*as_inputs(found.X), found.y, subject, None)
    return measure(subject, samples.X, samples.Y, as_curve(history), updates=updates or updates_of(history, net, None))


@pytest.mark.parametrize("optimizer", [Adam(0.02), "rprop"])
def test_remedy_for_a_local_minimum_is_another_start(optimizer):
    """A local minimum of ReLU nets on XOR: after Adam or Rprop, neither of them may be advised."""
    found = verdict_of(stuck_relu(optimizer, 2000)(3))
    assert found.verdict == "plateau"
    assert found.remedy.startswith("Begin again with another random_state")
    assert "'rprop'" not in found.remedy + found.experiment
    assert "local minimum" in found.remedy
    assert found.evidence["merged samples"] in (0.5, 0.75)


def test_remedy_for_a_saddle_is_another_optimiser():
    settings = {"hidden": (8, 8), "init_scale": 1e-3}
    plain = train(*data.blobs(0), optimizer=SGD(0.05), **settings)
    assert diagnose(plain.net, plain.X, plain.y, plain.history).remedy.startswith("Leave the saddle: use 'rprop'")


def test_existing_regularisation_is_raised():
    m = measured(dropout=0.1, l2=1e-3, hidden=(16,))
    text = remedies.over_fitting(m, 0)
    assert "aise dropout from 0.1 to 0.3" in text
    assert "raise l2 from 0.001 to 0.01" in text
    assert "add dropout" not in text
    stopped = m._replace(updates=m.updates._replace(early_stopping=True))
    assert "Stop earlier" not in remedies.over_fitting(stopped, 0)
    assert "early_stopping" not in remedies.over_fitting_experiment(stopped, 0)
    linear = remedies.over_fitting(measured(hidden=()), 0)
    assert "hidden units" not in linear
    assert "dropout" not in linear


def test_clipping_is_advised_only_if_unused():
    clipped = measured(optimizer=SGD(0.1, clip_norm=1.0))
    free = measured(optimizer=SGD(0.1))
    for remedy in (remedies.rate_too_high, remedies.exploding):
        assert "clip_norm" not in remedy(clipped, 0)
    assert "clip_norm=1.0" in remedies.exploding(free, 0)
    assert "clip_norm" not in remedies.exploding(measured(optimizer="rprop"), 0)


def test_activation_in_use_is_not_advised():
    relu, tanh = measured(hidden_activation="relu"), measured()
    assert "Use relu" in remedies.vanishing(tanh, 0)
    assert "Use relu" not in remedies.vanishing(relu, 0)
    assert "tanh or relu" not in remedies.base_rate(relu, 0)
    assert "tanh or relu" in remedies.base_rate(measured(hidden_activation="sigmoid"), 0)


def test_optimiser_in_use_is_not_advised():
    assert "'adam'" not in remedies.base_rate(measured(optimizer=Adam(0.01)), 0)
    assert "'adam'" in remedies.base_rate(measured(optimizer=SGD(0.01)), 0)
    assert "if you have not" in remedies.base_rate(measured(updates=TrainingSettings().of_nets(1, slice(None))), 0)


def test_remedies_say_that_reset_draws_the_same_weights():
    """`reset` without another seed draws the initial weights again."""
    m = measured(hidden_activation="relu")
    for remedy in (remedies.dead, remedies.base_rate, remedies.plateau):
        assert "same weights again" in remedy(m, 0)
