"""Remedies: advice depends on the net's settings and on how it was trained."""

import numpy as np
import pytest
import toy_data as data
from diagnosis_validation import verdict_of
from stuck_nets import stuck_relu, train

from fastmlp import MLP, SGD, Adam, Population, diagnose
from fastmlp.diagnosis import rate_remedies, remedies
from fastmlp.diagnosis.argument_checks import as_curve, as_inputs, as_samples
from fastmlp.diagnosis.evidence import EVIDENCE
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


@pytest.mark.slow
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


def noisy(n, noise, seed):
    """Return n samples of which noise hides most, so that a net of many units memorises them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + noise * rng.normal(size=n)
    return X, (y - y.mean()) / y.std()


@pytest.mark.slow
def test_early_stopping_of_a_population_is_not_advised_again():
    (X, y), held_out = noisy(200, 0.3, 0), noisy(200, 0.3, 1)
    pop = Population((8, 64, 1), 2, random_state=0)
    settings = {"epochs": 100, "batch_size": 32, "optimizer": Adam(0.01), "validation_data": held_out}
    result = pop.fit(X, y, early_stopping=30, **settings)
    found = diagnose(pop, X, y, validation_data=held_out)
    for k in range(2):
        net = found.net(k)
        kept, end = int(result.best_epoch[k]) + 1, int(result.epochs[k])
        assert kept < end
        assert net.verdict == "over_fitting"
        assert f"the best epoch, {kept} of {end}, is kept already" in net.remedy
        assert "early_stopping" not in net.remedy + net.experiment
        assert (net.evidence["kept epoch"], net.evidence["epochs"]) == (kept, end)
    pop.fit(X, y, **settings)
    assert "Stop earlier (early_stopping=10" in diagnose(pop, X, y, validation_data=held_out).net(0).remedy


@pytest.mark.thinned(2)
@pytest.mark.parametrize("optimizer", ["adam", "rprop"])
@pytest.mark.slow
def test_optimiser_of_a_population_is_not_advised_again(optimizer):
    pop = Population((2, 4, 4, 1), 3, loss="binary_cross_entropy", init_scale=1e-6, random_state=0)
    pop.fit(data.XOR_X, data.XOR_Y, epochs=30, optimizer=optimizer)
    for k in range(3):
        updates = updates_of(pop.result, pop, None)
        assert updates.is_adaptive
        assert "'rprop'" not in remedies.base_rate(measured(updates=updates.of_nets(3, slice(k, k + 1))), 0)


@pytest.mark.parametrize("with_validation", [True, False])
def test_remedy_of_a_converged_net_states_its_gap(with_validation):
    (X, y), held_out = noisy(2000, 0.5, 3), noisy(300, 0.5, 4)
    net = MLP((8, 16, 1), random_state=0)
    history = net.fit(X, y, epochs=100, batch_size=32, optimizer=Adam(0.003), validation_data=held_out)
    found = diagnose(net, X, y, history, validation_data=held_out if with_validation else None)
    assert found.verdict == "converged"
    text = "Nothing to change: the net has learned what these data show"
    if with_validation:
        training, validation = (100 * found.evidence[name] for name in ("explained", "explained in validation"))
        assert training > validation + 5
        assert found.remedy == (
            f"{text}. It explains {training:.0f} % of their variance, and {validation:.0f} % of the variance of "
            "validation samples."
        )
    else:
        training, validation = history.loss[-1], history.validation_loss[-1]
        assert "100 steps of L-BFGS on 1,000 samples do not lower the loss of the others" in found.remedy
        assert found.remedy.endswith(
            f". The loss of the kept epoch is {training:.3g} in training and {validation:.3g} in validation."
        )


@pytest.mark.slow
def test_clipping_is_advised_only_if_unused():
    clipped = measured(optimizer=SGD(0.1, clip_norm=1.0))
    free = measured(optimizer=SGD(0.1))
    for remedy in (rate_remedies.rate_too_high, remedies.exploding):
        assert "clip_norm" not in remedy(clipped, 0)
    assert "clip_norm=1.0" in remedies.exploding(free, 0)
    assert "clip_norm" not in remedies.exploding(measured(optimizer="rprop"), 0)


@pytest.mark.full
def test_activation_in_use_is_not_advised():
    relu, tanh = measured(hidden_activation="relu"), measured()
    assert "Use relu" in remedies.vanishing(tanh, 0)
    assert "Use relu" not in remedies.vanishing(relu, 0)
    assert "tanh or relu" not in remedies.base_rate(relu, 0)
    assert "tanh or relu" in remedies.base_rate(measured(hidden_activation="sigmoid"), 0)


@pytest.mark.full
def test_optimiser_in_use_is_not_advised():
    assert "'adam'" not in remedies.base_rate(measured(optimizer=Adam(0.01)), 0)
    assert "'adam'" in remedies.base_rate(measured(optimizer=SGD(0.01)), 0)
    assert "if you have not" in remedies.base_rate(measured(updates=TrainingSettings().of_nets(1, slice(None))), 0)


@pytest.mark.slow
def test_remedies_say_that_reset_draws_the_same_weights():
    """`reset` without another seed draws the initial weights again."""
    m = measured(hidden_activation="relu")
    for remedy in (remedies.dead, remedies.base_rate, remedies.plateau):
        assert "same weights again" in remedy(m, 0)


@pytest.mark.parametrize("left, text", [(0.4, "too unevenly"), (1.2, "after about 2 more epochs, 6.7 % of the epochs")])
@pytest.mark.slow
def test_epochs_left_are_whole_numbers_of_one_or_more(left, text):
    m = measured()
    m = m._replace(curve=m.curve._replace(projected=np.array([left])))
    assert text in remedies.still_learning(m, 0)
    assert EVIDENCE["epochs left"](m, 0) == pytest.approx(2.0 if left > 1 else np.nan, nan_ok=True)


@pytest.mark.slow
def test_history_is_asked_for_where_only_it_tells_a_new_net_from_a_stuck_one():
    X, y = data.blobs(0)
    found = diagnose(MLP((4, 16, 3), loss="softmax_cross_entropy", random_state=0), X, y)
    assert not found.is_sure
    assert found.remedy.startswith("Give diagnose the history, which shows whether the loss falls")
    dead = train(X, y, hidden_activation="relu", changed=lambda net: net.biases[0].__setitem__(slice(None), -50.0))
    assert "too high has this effect, too: give diagnose the history" in diagnose(dead.net, X, y).remedy
    assert "too high" not in diagnose(dead.net, X, y, dead.history).remedy
