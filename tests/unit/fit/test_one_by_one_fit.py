"""One-by-one training of a population: each net equals an `MLP` to the bit; epochs are checked several at a time."""

import numpy as np
import pytest
import reference_net
import reference_optimizers

import fastmlp
from fastmlp import MLP, Converged, EarlyStopping, Population
from fastmlp.devices import resolve
from fastmlp.execution.dispatch import choose_nets_family
from fastmlp.fit.hooks import early_stopping
from fastmlp.fit.one_net import OneNet
from fastmlp.network.spec import Network
from fastmlp.optimizers import OPTIMIZERS

SIZES, N_NETS = (3, 5, 1), 5


@pytest.fixture
def samples(rng):
    X = rng.normal(size=(30, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def assert_equals_single_nets(pop, result, X, y, settings, **fit):
    """Both use the same kernel, so that results agree to the bit."""
    for k in range(pop.n_nets):
        own = {name: values[k] if np.ndim(values) else values for name, values in settings.items()}
        net = MLP(pop.network.layer_sizes, **own, dtype=pop.dtype, random_state=int(pop.seeds[k]))
        history = net.fit(X, y, verbose=0, **fit)
        np.testing.assert_array_equal(pop.params[k], net.params)
        assert (result.epochs[k], result.loss[k]) == (history.epochs, history.loss[-1])
        if "early_stopping" in fit:
            assert result.best_epoch[k] == history.best_epoch


def test_lanes_are_chosen_by_size_and_number_of_nets():
    cpu, f4 = resolve("cpu"), np.dtype("float32")
    network = Network.build((4, 8, 3), "tanh", "identity", "squared_error", 0.0, 0.0, 0.0, {})
    tiny = Network.build((2, 2, 1), "tanh", "identity", "squared_error", 0.0, 0.0, 0.0, {})
    large = Network.build((64, 64, 10), "tanh", "identity", "squared_error", 0.0, 0.0, 0.0, {})
    for n_nets, rows, shuffle, net, expected in (
        (5, 32, True, network, False),
        (10, 32, True, network, False),
        (100, 32, True, network, True),
        (8, 4, False, network, True),
        (8, 100, False, tiny, True),
        (8, 100, True, tiny, False),
        (100_000, 4, False, tiny, True),
        (1, 4, False, tiny, False),
        (1000, 200, True, large, False),
    ):
        assert choose_nets_family(net, n_nets, rows, cpu, f4, shuffle=shuffle) == (
            "population_simd" if expected else "one_by_one"
        )


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 8])
def test_every_optimizer_equals_single_nets_bit_for_bit(name, batch_size, samples):
    fit = {"epochs": 6, "batch_size": batch_size, "optimizer": OPTIMIZERS[name](weight_decay=0.02, clip_norm=0.3)}
    settings = {"loss": "binary_cross_entropy", "l2": np.linspace(0.0, 0.1, N_NETS)}
    pop = Population(SIZES, N_NETS, **settings, random_state=5)
    assert_equals_single_nets(pop, pop.fit(*samples, verbose=0, **fit), *samples, settings, **fit)


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


def test_dropout_rate_per_net_equals_single_nets_bit_for_bit(samples):
    settings = {"dropout": np.linspace(0.1, 0.5, N_NETS), "loss": "binary_cross_entropy"}
    fit = {"epochs": 4, "batch_size": 7}
    pop = Population(SIZES, N_NETS, **settings, random_state=2)
    assert_equals_single_nets(pop, pop.fit(*samples, verbose=0, **fit), *samples, settings, **fit)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("monitor", ["loss", "accuracy", "validation_loss"])
@pytest.mark.slow
def test_early_stopping_equals_single_nets_bit_for_bit(monitor, batch_size, samples):
    X, y = samples
    fit = {
        "epochs": 300,
        "batch_size": batch_size,
        "optimizer": fastmlp.Adam(0.1),
        "validation_data": (X[:9] + 0.3, y[:9]),
        "early_stopping": EarlyStopping(patience=5, monitor=monitor, min_delta=1e-4),
    }
    settings = {"loss": "binary_cross_entropy", "hidden_activation": "tanh"}
    pop = Population(SIZES, N_NETS, **settings, random_state=2)
    result = pop.fit(X, y, verbose=0, **fit)
    assert len(set(result.epochs)) > 1
    assert_equals_single_nets(pop, result, X, y, settings, **fit)


FITS = {
    "best loss": {"early_stopping": EarlyStopping(4, "loss", 1e-3)},
    "best accuracy": {"early_stopping": EarlyStopping(6, "accuracy")},
    "never stops": {"early_stopping": EarlyStopping(500, "loss")},
    "converges": {"converged": 0.4},
    "reaches accuracy": {"converged": Converged(accuracy=0.9)},
    "either": {"converged": 0.3, "early_stopping": EarlyStopping(3, "loss", 1e-3)},
}


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("name", FITS)
def test_checking_several_epochs_at_once_equals_checking_each(name, batch_size, samples, monkeypatch):
    def train(check_cost):
        monkeypatch.setattr(early_stopping, "CHECK_COST", check_cost)
        pop = Population(SIZES, N_NETS, loss="binary_cross_entropy", hidden_activation="tanh", random_state=4)
        return pop, pop.fit(
            *samples, epochs=120, batch_size=batch_size, optimizer=fastmlp.Adam(0.08), verbose=0, **FITS[name]
        )

    (several, of_several), (each, of_each) = train(500_000), train(0)
    assert (several.params == each.params).all()
    for field in ("status", "epochs", "loss", "accuracy", "records", "best_epoch", "best_value"):
        np.testing.assert_array_equal(getattr(of_several, field), getattr(of_each, field))
    if name == "never stops":
        assert (of_each.epochs == 120).all()
    else:
        assert len(set(of_each.epochs)) > 1


def test_divergence_between_checks_restores_the_best_parameters(monkeypatch):
    """Growing learning rates: the loss falls, then overflows before the next check."""
    X, y = np.linspace(-1, 1, 20)[:, None], np.linspace(-1, 1, 20) * 3
    growing = lambda steps, n_steps: 1.35 ** np.asarray(steps, float)

    def train(check_cost):
        monkeypatch.setattr(early_stopping, "CHECK_COST", check_cost)
        net = MLP((1, 4, 1), hidden_activation="leaky_relu", random_state=0)
        with pytest.warns(fastmlp.DivergenceWarning):
            history = net.fit(X, y, epochs=200, optimizer=fastmlp.SGD(0.01), schedule=growing, early_stopping=150)
        return net, history

    (several, of_several), (each, of_each) = train(500_000), train(0)
    np.testing.assert_array_equal(several.params, each.params)
    assert of_several.best_epoch == of_each.best_epoch > 5
    assert of_several.epochs == of_each.epochs


def test_many_epochs_take_few_kernel_calls(samples, monkeypatch):
    calls = []
    run = OneNet.call_kernel
    monkeypatch.setattr(OneNet, "call_kernel", lambda fit, *a: (calls.append(a), run(fit, *a)))
    MLP(SIZES, random_state=0).fit(*samples, epochs=1000, early_stopping=EarlyStopping(1000, "loss"), verbose=0)
    assert len(calls) < 30


@pytest.mark.thinned(4)
@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("sizes", [(3, 5, 1), (3, 160, 140, 1)], ids=["block", "layers"])
def test_checking_several_epochs_at_once_equals_checking_each_on_cuda(sizes, batch_size, samples, cuda, monkeypatch):
    """Replaying epochs from a checkpoint gives the same bits on the device as well."""
    fit = {"epochs": 40, "batch_size": batch_size, "optimizer": fastmlp.Adam(0.05), "verbose": 0}

    def train(check_cost):
        monkeypatch.setattr(early_stopping, "CHECK_COST", check_cost)
        net = MLP(sizes, loss="binary_cross_entropy", random_state=1, device="cuda")
        return net, net.fit(*samples, **fit, early_stopping=EarlyStopping(3, "loss", 0.05))

    (several, of_several), (each, of_each) = train(10**9), train(0)
    np.testing.assert_array_equal(several.params, each.params)
    assert (of_several.epochs, of_several.best_epoch) == (of_each.epochs, of_each.best_epoch)
    assert of_each.best_epoch < 39
