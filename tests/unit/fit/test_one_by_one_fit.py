"""Nets of a population trained one by one: each equals an `MLP` to the bit; epochs are checked several at a time."""

import numpy as np
import pytest
import reference_net
import reference_optimizers
from fit_kinds import OPTIONS, fit, make

import fastmlp
from fastmlp import MLP, Adam, Converged, EarlyStopping, Population
from fastmlp.fit.hooks import early_stopping
from fastmlp.optimizers import OPTIMIZERS

SIZES, N_NETS = (3, 5, 1), 5


@pytest.fixture
def samples(rng):
    X = rng.normal(size=(30, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


ALONE = [option for option, row in OPTIONS.items() if not row.nets and "validation_fraction" not in row.fit]
CASES = {option: (option, {}) for option in ALONE} | {
    name: ("plain", {"optimizer": kind(weight_decay=0.02, clip_norm=0.3), "batch_size": None})
    for name, kind in OPTIMIZERS.items()
    if not kind().rule.is_second_order
}


@pytest.mark.parametrize("name", CASES)
def test_nets_equal_single_nets_to_the_bit(name):
    """A validation_fraction, which the seed of all nets draws, is left out."""
    option, given = CASES[name]
    pop, result = fit("nets one by one", option, **given)
    for k in range(pop.n_nets):
        net, history = fit("net", option, nets=make("nets one by one", option).net(k), **given)
        np.testing.assert_array_equal(pop.params[k], net.params)
        assert (result.epochs[k], result.loss[k]) == (history.epochs, history.loss[-1])
        if history.best_epoch is not None:
            assert result.best_epoch[k] == history.best_epoch


def test_settings_and_weights_per_net_match_the_reference(samples):
    """A learning rate per net, and sample weights of cross-validation folds, in float64."""
    X, y = samples
    rates, weights = np.linspace(0.1, 0.9, N_NETS), fastmlp.folds(len(X), N_NETS)
    settings = {"hidden_activation": "tanh", "loss": "binary_cross_entropy"}
    pop = Population(SIZES, N_NETS, **settings, dtype="float64", random_state=1)
    start = pop.params.copy()
    pop.fit(X, y, epochs=8, optimizer=fastmlp.SGD(rates), sample_weight=weights, verbose=0)
    for k in range(N_NETS):
        net = reference_net.ReferenceMLP(SIZES, ("tanh", "sigmoid"), "binary_cross_entropy", start[k].copy())
        own = weights[k] / weights[k].mean()
        reference_optimizers.train(net, X, y[:, None], "SGD", {"learning_rate": rates[k]}, epochs=8, weight=own)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-11, atol=1e-12)


RULES = {
    "best loss": {"early_stopping": EarlyStopping(4, "loss", 1e-3)},
    "best accuracy": {"early_stopping": EarlyStopping(6, "accuracy")},
    "never stops": {"early_stopping": EarlyStopping(500, "loss")},
    "converges": {"converged": 0.4},
    "reaches accuracy": {"converged": Converged(accuracy=0.9)},
    "either": {"converged": 0.3, "early_stopping": EarlyStopping(3, "loss", 1e-3)},
}


def several_and_each(train, monkeypatch, n_at_once=500_000):
    """Return what a function returns where many epochs are trained between two checks, and where each is checked."""
    found = []
    for cost in (n_at_once, 0):
        monkeypatch.setattr(early_stopping, "CHECK_COST", cost)
        found.append(train())
    return found


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("name", RULES)
def test_checking_several_epochs_at_once_equals_checking_each(name, batch_size, samples, monkeypatch):
    def train():
        pop = Population(SIZES, N_NETS, loss="binary_cross_entropy", hidden_activation="tanh", random_state=4)
        given = {"epochs": 120, "batch_size": batch_size, "optimizer": Adam(0.08), "verbose": 0}
        return pop, pop.fit(*samples, **given, **RULES[name])

    (several, of_several), (each, of_each) = several_and_each(train, monkeypatch)
    np.testing.assert_array_equal(several.params, each.params)
    for field, values in of_each.arrays().items():
        np.testing.assert_array_equal(of_several.arrays()[field], values, err_msg=field)
    assert (len(set(of_each.epochs)) > 1) == (name != "never stops")


def test_divergence_between_checks_restores_the_best_parameters(monkeypatch):
    """Growing learning rates: the loss falls, then overflows before the next check."""
    X, y = np.linspace(-1, 1, 20)[:, None], np.linspace(-1, 1, 20) * 3
    growing = lambda steps, n_steps: 1.35 ** np.asarray(steps, float)

    def train():
        net = MLP((1, 4, 1), hidden_activation="leaky_relu", random_state=0)
        with pytest.warns(fastmlp.DivergenceWarning):
            history = net.fit(X, y, epochs=200, optimizer=fastmlp.SGD(0.01), schedule=growing, early_stopping=150)
        return net, history

    (several, of_several), (each, of_each) = several_and_each(train, monkeypatch)
    np.testing.assert_array_equal(several.params, each.params)
    assert of_several.best_epoch == of_each.best_epoch > 5
    assert of_several.epochs == of_each.epochs


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("sizes", [(3, 5, 1), (3, 160, 140, 1)], ids=["block", "layers"])
@pytest.mark.usefixtures("cuda")
def test_checking_several_epochs_at_once_equals_checking_each_on_cuda(sizes, batch_size, samples, monkeypatch):
    """Replaying epochs from a checkpoint gives the same bits on the device as well."""
    given = {"epochs": 40, "batch_size": batch_size, "optimizer": Adam(0.05), "verbose": 0}

    def train():
        net = MLP(sizes, loss="binary_cross_entropy", random_state=1, device="cuda")
        return net, net.fit(*samples, **given, early_stopping=EarlyStopping(3, "loss", 0.05))

    (several, of_several), (each, of_each) = several_and_each(train, monkeypatch, 10**9)
    np.testing.assert_array_equal(several.params, each.params)
    assert (of_several.epochs, of_several.best_epoch) == (of_each.epochs, of_each.best_epoch)
    assert of_each.best_epoch < 39
