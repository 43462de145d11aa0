"""Training settings for a diagnosis, from an optimiser or from its repr in a file."""

import dataclasses

import numpy as np
import pytest
import toy_data as data

import fastmlp
from fastmlp import SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop
from fastmlp.diagnosis.training_settings import optimizer_from_text, updates_of


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1),
        SGD(0.1, momentum=0.9),
        SGD(0.1, momentum=0.5, nesterov=True, clip_norm=2.0),
        Adam(0.02),
        AdamW(0.01, weight_decay=0.3),
        RMSprop(),
        Adagrad(),
        Quickprop(),
        Rprop(),
    ],
)
def test_optimiser_is_parsed_from_its_repr(optimizer):
    assert optimizer_from_text(repr(optimizer)) == optimizer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "Adam",
        "Adam(",
        "Adam(learning_rate=-1)",
        "Adam(learning_rate=open('x'))",
        "print(1)",
        "Optimizer.x(1)",
        "History()",
        "(" * 5000,
    ],
)
def test_invalid_text_is_no_optimiser(text):
    assert optimizer_from_text(text) is None


def test_training_settings_survive_saving(tmp_path):
    X, y = data.moons(0)
    net = fastmlp.MLP((2, 8, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(
        X,
        y,
        epochs=20,
        optimizer=Adam(0.01, clip_norm=1.0),
        validation_fraction=0.2,
        early_stopping=5,
        schedule="cosine",
        verbose=0,
    )
    net.save(tmp_path / "net.safetensors")
    loaded = fastmlp.load(tmp_path / "net.safetensors")
    known = updates_of(history, net, None)
    assert known == updates_of(loaded.history, loaded, None)
    assert (known.rule, known.clip_norm, known.early_stopping, known.schedule) == ("adam", 1.0, True, "cosine")
    assert (known.n_samples, known.n_validation, known.is_adaptive, known.ours) == (160, 40, True, True)


def test_training_settings_of_a_population_survive_saving(tmp_path):
    X, y = data.moons(0)
    pop = fastmlp.Population((2, 8, 1), 4, loss="binary_cross_entropy", random_state=0)
    rates = np.array([0.01, 0.02, 0.03, 0.04])
    optimizer = SGD(rates, momentum=0.5, clip_norm=1.0)
    pop.fit(X, y, epochs=20, optimizer=optimizer, validation_fraction=0.2, early_stopping=5, schedule="cosine")
    pop.save(tmp_path / "pop.safetensors")
    for result in (pop.result, fastmlp.load(tmp_path / "pop.safetensors").result):
        known = updates_of(result, pop, None)
        np.testing.assert_allclose(known.learning_rate, 2 * rates)
        assert (known.rule, known.clip_norm, known.early_stopping, known.schedule) == ("momentum", 1.0, True, "cosine")
        assert (known.n_samples, known.n_validation, known.is_plain_descent, known.ours) == (160, 40, True, True)


def test_results_of_earlier_versions_have_no_arguments():
    pop = fastmlp.Population((2, 8, 1), 4, random_state=0)
    result = pop.fit([[0, 1], [1, 0]], [0, 1], epochs=2, optimizer=SGD(np.full(4, 0.1), momentum=0.5))
    known = updates_of(dataclasses.replace(result, arguments={}), pop, None)
    np.testing.assert_allclose(known.learning_rate, 0.1)
    assert (known.rule, known.n_samples, known.early_stopping, known.ours) == ("", 0, False, True)


def test_list_of_losses_has_no_training_settings():
    unknown = updates_of([1.0, 0.5], None, None)
    assert np.isnan(unknown.learning_rate)
    assert unknown.rule == ""
    told = updates_of([1.0, 0.5], None, 0.1)
    assert (told.learning_rate, told.is_plain_descent, told.rule) == (0.1, True, "")


def test_size_of_batches_momentum_and_encoding_are_known():
    X, y = data.moons(0)
    net = fastmlp.MLP((2, 8, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(X, y, epochs=2, optimizer=SGD(0.1, momentum=0.9), batch_size=32, verbose=0)
    found = updates_of(history, net, None)
    assert (found.batch_size, found.momentum, found.encoded_inputs) == (32, 0.9, False)
    assert found.learning_rate == pytest.approx(1.0)
    assert not found.has_sign_like_steps
    assert updates_of(history, net, None, encoded_inputs=True).encoded_inputs
    net.preprocessing = object()
    assert updates_of(history, net, 0.5).encoded_inputs
    assert updates_of(history, net, 0.5).momentum == 0.0


@pytest.mark.parametrize("solver, rate, momentum", [("sgd", 0.1, 0.9), ("adam", 0.01, 0.0)])
def test_a_net_of_scikit_learn_has_the_momentum_of_its_solver(solver, rate, momentum):
    neural_network = pytest.importorskip("sklearn.neural_network")
    found = updates_of(None, neural_network.MLPClassifier(solver=solver, learning_rate_init=0.01), None)
    assert (found.learning_rate, found.momentum) == (pytest.approx(rate), momentum)
    assert found.is_plain_descent == (solver == "sgd")
