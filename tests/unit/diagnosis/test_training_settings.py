"""Training settings for a diagnosis, from an optimiser or from its repr in a file."""

import numpy as np
import pytest
import toy_data as data

import fastmlp
from fastmlp import SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop
from fastmlp.diagnosis.training_settings import optimizer_from_text, training_settings

LOSS = {"loss": "binary_cross_entropy", "random_state": 0}
OPTIMIZERS = (SGD(0.1), SGD(0.1, momentum=0.5, nesterov=True, clip_norm=2.0), AdamW(0.01, weight_decay=0.3), Rprop())
NO_OPTIMIZERS = ("", "None", "Adam", "Adam(", "Adam(learning_rate=-1)", "Adam(learning_rate=open('x'))", "History()")


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, Adam(0.02), RMSprop(), Adagrad(), Quickprop()], ids=repr)
def test_optimiser_is_parsed_from_its_repr(optimizer):
    assert optimizer_from_text(repr(optimizer)) == optimizer


@pytest.mark.parametrize("text", [*NO_OPTIMIZERS, "print(1)", "Optimizer.x(1)", 5000 * "("], ids=lambda text: text[:9])
def test_invalid_text_is_no_optimiser(text):
    assert optimizer_from_text(text) is None


@pytest.mark.parametrize("kind", ["net", "population"])
def test_training_settings_survive_saving(kind, tmp_path):
    X, y = data.moons(0)
    rates = 0.01 if kind == "net" else np.array([0.01, 0.02, 0.03, 0.04])
    n_nets = () if kind == "net" else (4,)
    nets = (fastmlp.MLP if kind == "net" else fastmlp.Population)((2, 8, 1), *n_nets, **LOSS)
    optimizer = SGD(rates, momentum=0.5, clip_norm=1.0)
    first = nets.fit(X, y, epochs=20, optimizer=optimizer, validation_fraction=0.2, early_stopping=5, schedule="cosine")
    nets.save(tmp_path / "nets.safetensors")
    loaded = fastmlp.load(tmp_path / "nets.safetensors")
    for records in (first, loaded.history if kind == "net" else loaded.result):
        known = training_settings(records, nets, None)
        np.testing.assert_allclose(known.learning_rate, rates)
        assert (known.rule, known.clip_norm, known.early_stopping, known.schedule) == ("momentum", 1.0, True, "cosine")
        assert (known.n_training_samples, known.is_plain_descent, known.is_of_fastmlp) == (160, True, True)


def test_size_of_batches_momentum_and_encoding_are_known():
    X, y = data.moons(0)
    net = fastmlp.MLP((2, 8, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(X, y, epochs=2, optimizer=SGD(0.1, momentum=0.9), batch_size=32, verbose=0)
    found = training_settings(history, net, None)
    assert (found.batch_size, found.learning_rate, found.momentum, found.encoded_inputs) == (32, 0.1, 0.9, False)
    assert training_settings(history, net, None, encoded_inputs=True).encoded_inputs
    net.preprocessing = object()
    given = training_settings(history, net, 0.5)
    assert (given.learning_rate, given.momentum, given.encoded_inputs) == (0.5, 0.0, True)


@pytest.mark.parametrize("solver, momentum", [("sgd", 0.9), ("adam", 0.0)])
def test_a_net_of_scikit_learn_has_the_momentum_of_its_solver(solver, momentum):
    neural_network = pytest.importorskip("sklearn.neural_network")
    found = training_settings(None, neural_network.MLPClassifier(solver=solver, learning_rate_init=0.01), None)
    assert (found.learning_rate, found.momentum, found.is_plain_descent) == (0.01, momentum, solver == "sgd")
