"""`monitor=True`: one warning if training fails in a known way, none otherwise."""

import warnings

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP, SGD, Adam, Population, TrainingWarning
from fastmlp.data.checked_samples import validated_samples
from fastmlp.diagnosis.monitor import FIRST_EPOCH, Monitor


def net(X, **settings):
    return MLP((X.shape[1], 16, 16, 1), **{"hidden_activation": "tanh", "random_state": 0, **settings})


def warned(caught):
    return [str(w.message) for w in caught if w.category is TrainingWarning]


ENTROPY, LINEAR = {"loss": "binary_cross_entropy"}, {"hidden_activation": "identity", "loss": "huber"}


@pytest.mark.parametrize(
    "settings, fit, text",
    [
        ({"init": "zeros", **ENTROPY}, {"optimizer": SGD(0.1)}, "the loss has stayed at the base rate's, 0.6931"),
        ({"hidden_activation": "relu", **ENTROPY}, {"optimizer": SGD(10.0)}, "above the base rate's, 0.6931"),
        (LINEAR, {"optimizer": Adam(2.0), "batch_size": 16}, "the learning rate is too high"),
    ],
)
def test_monitor_warns_once_in_one_line(settings, fit, text):
    X, y = data.moons(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net(X, **settings).fit(X, y, epochs=1500, monitor=True, **fit)
    messages = warned(caught)
    assert len(messages) == 1
    assert text in messages[0]
    assert "\n" not in messages[0]
    assert messages[0].endswith("fastmlp.diagnose(net, X, y, history) says why and what to change.")
    assert caught[0].filename == __file__, "the warning points at the user's line"


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("source", [data.moons, data.overlapping, data.rings])
@pytest.mark.parametrize("n_nets", [(), (20,)], ids=["net", "population"])
def test_monitor_is_silent_for_healthy_nets(n_nets, source, activation):
    X, y = source(1)
    sizes, kind = (X.shape[1], 16, 16, 1), Population if n_nets else MLP
    nets = kind(sizes, *n_nets, hidden_activation=activation, random_state=0, **ENTROPY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nets.fit(X, y, epochs=300, optimizer=Adam(0.01), monitor=True)
    assert warned(caught) == []


def monitor_of(net, X, y, n_epochs=0, weight=None):
    return Monitor(net.network, validated_samples(X, y, net.network, net.dtype, weight)[0], n_epochs)


def messages_after(monitor, losses):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.look(np.asarray(losses, float), at_end=True)
    return warned(caught)


def test_monitor_warns_of_a_rising_loss():
    X, y = data.moons(0)
    monitor = monitor_of(net(X, **ENTROPY), X, y)
    assert messages_after(monitor, np.linspace(0.7, 0.3, 100)) == []
    assert messages_after(monitor, np.full(FIRST_EPOCH - 1, monitor.base)) == [], "too early to tell"
    assert "has risen from 0.3 to" in messages_after(monitor, np.linspace(0.3, 0.9, 100))[0]
    assert messages_after(monitor, np.linspace(0.3, 0.9, 200)) == [], "once"


def test_monitor_ignores_a_plateau_in_the_first_tenth():
    monitor = monitor_of(MLP((2, 2, 1), random_state=0, **ENTROPY), data.XOR_X, data.XOR_Y, n_epochs=5000)
    assert messages_after(monitor, np.full(400, monitor.base)) == []
    assert len(messages_after(monitor, np.full(501, monitor.base))) == 1


UNSCALED = "since the inputs are not scaled: their largest standard deviation is 2"


def unscaled(rng):
    """Inputs of tens of thousands, tens and ones, as incomes, ages and shares."""
    X = np.column_stack([rng.normal(50_000, 20_000, 500), rng.normal(40, 10, 500), rng.uniform(0, 1, 500)])
    return X, (X[:, 0] - 50_000) / 20_000 + 0.1 * (X[:, 1] - 40)


@pytest.mark.parametrize("epochs", [200, 3000])
def test_monitor_finds_unscaled_inputs_while_the_loss_falls(rng, epochs):
    """It is far above that of a constant for all of the epochs, or for half of them."""
    X, y = unscaled(rng)
    with pytest.warns(TrainingWarning, match=rf"the loss is still .*, above .*, {UNSCALED}"):
        MLP((3, 32, 1), random_state=0).fit(X, y, epochs=epochs, monitor=True, verbose=0)


def test_monitor_finds_unscaled_inputs_of_a_population(rng):
    X, y = unscaled(rng)
    with pytest.warns(TrainingWarning, match=rf"% of the nets looked at fail; in .*, above .*, {UNSCALED}"):
        Population((3, 16, 1), 20, random_state=0).fit(X, y, epochs=60, monitor=True, verbose=0)


def test_monitor_warns_once_for_a_population():
    pop = Population((2, 2, 1), 300, init="zeros", hidden_activation="sigmoid", loss="binary_cross_entropy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pop.fit(data.XOR_X, data.XOR_Y, epochs=600, optimizer=SGD(0.1), monitor=True)
    messages = warned(caught)
    assert len(messages) == 1
    assert (
        "100 % of the nets looked at fail; in the first of them the loss has stayed at the base rate's" in messages[0]
    )
    assert "fastmlp.diagnose(pop, X, y) says why" in messages[0]
    assert caught[0].filename == __file__


def test_base_rate_is_of_weighted_samples_without_label_smoothing():
    y = np.repeat([0, 1], [90, 10])
    X = np.random.default_rng(0).normal(size=(100, 2))
    weight = np.where(y == 1, 5.0, 5 / 9)
    bases = {}
    for name, settings, given in (
        ("weighted", {"loss": "binary_cross_entropy", "layer_sizes": (2, 3, 1)}, weight),
        ("smoothed", {"loss": "softmax_cross_entropy", "layer_sizes": (2, 3, 2), "label_smoothing": 0.1}, None),
    ):
        bases[name] = monitor_of(MLP(**settings), X, y, weight=given).base
    share = 0.9 * 0.9 + 0.05
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert bases == {"weighted": pytest.approx(np.log(2)), "smoothed": pytest.approx(entropy, rel=1e-5)}
