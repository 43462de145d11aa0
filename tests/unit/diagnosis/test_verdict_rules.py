"""Verdict rules for dropout, weight decay, clipping, rare classes, long steps and wrong signs."""

import numpy as np
import pytest
import toy_data as data
from scipy.special import expit
from stuck_nets import train

from fastmlp import SGD, Adam, AdamW, Population, diagnose

CORNERS = np.random.default_rng(0).normal(size=(400, 4))
SAME_SIGN = (CORNERS[:, 0] * CORNERS[:, 1] > 0) * 1
HEALTHY = ("converged", "still_learning")


def verdict_on(X, y, **settings):
    found = train(X, y, **settings)
    return diagnose(found.net, X, y, found.history)


def relu(hidden, **settings):
    return verdict_on(CORNERS, SAME_SIGN, hidden=hidden, hidden_activation="relu", **settings)


# ---- dropout


@pytest.mark.parametrize("seed", range(3))
def test_dropout_noise_is_not_taken_for_a_high_learning_rate(seed):
    found = verdict_on(
        data.XOR_X, data.XOR_Y, hidden=(8,), epochs=500, optimizer=Adam(0.02), dropout=0.5, random_state=seed
    )
    assert found.verdict == "converged"
    assert "learning_rate_too_high" not in found.others


@pytest.mark.parametrize(
    "dropout, hidden, verdicts",
    [(0.7, (32, 32), HEALTHY), (0.8, (32, 32), ("dropout_too_high",)), (0.95, (16, 16), ("dropout_too_high",))],
)
def test_harmful_dropout_is_named(dropout, hidden, verdicts):
    found = relu(hidden, optimizer=Adam(1e-3), dropout=dropout, random_state=0)
    assert found.verdict in verdicts
    assert "learning_rate_too_high" not in found.others
    if not found.is_healthy:
        assert f"Lower dropout from {dropout:g}" in found.remedy


# ---- a class of a few samples


@pytest.mark.parametrize("n_rare", [1, 2])
def test_class_of_one_or_two_samples_is_no_evidence_of_shuffled_labels(n_rare):
    y = (CORNERS[:, 0] >= np.sort(CORNERS[:, 0])[-n_rare]) * 1
    options = {"hidden": (8,), "hidden_activation": "relu"}
    found = verdict_on(CORNERS, y, epochs=2000, optimizer=Adam(0.02), **options)
    assert found.verdict == "converged"
    assert "shuffled_labels" not in found.others
    for seed in range(3):
        early = verdict_on(CORNERS, y, epochs=50, optimizer=Adam(1e-3), random_state=seed, **options)
        assert early.verdict == "still_learning"


# ---- what the optimiser does besides


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1, weight_decay=1.0), SGD(0.1, weight_decay=5.0), AdamW(0.01, weight_decay=10.0)], ids=str
)
def test_harmful_weight_decay_is_named(optimizer):
    found = relu((16,), optimizer=optimizer)
    assert found.verdict == "weight_decay_too_high"
    assert found.remedy.startswith(f"Lower weight_decay from {optimizer.weight_decay:g} to ")


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, weight_decay=0.01),
        AdamW(0.01),
        AdamW(0.01, weight_decay=1.0),
        SGD(0.1, clip_norm=1.0),
        Adam(0.01, clip_norm=1e-5),
    ],
    ids=str,
)
def test_harmless_weight_decay_and_clipping_are_not_named(optimizer):
    assert relu((16,), optimizer=optimizer).is_healthy


@pytest.mark.parametrize("clip_norm", [1e-8, 1e-3])
def test_harmful_clip_norm_is_named(clip_norm):
    found = relu((16,), optimizer=SGD(0.1, clip_norm=clip_norm))
    assert found.verdict == "clip_norm_too_low"
    assert found.remedy.startswith(f"Raise clip_norm from {clip_norm:.2g} to ")
    assert "leave it out" in found.remedy


@pytest.mark.parametrize(
    "settings, optimizer, verdict",
    [
        ({}, AdamW(np.array([0.01, 0.01]), weight_decay=np.array([1e-3, 30.0])), "weight_decay_too_high"),
        ({}, Adam(np.array([0.01, 10.0])), "learning_rate_too_high"),
        ({"dropout": np.array([0.0, 0.95])}, Adam(1e-2), "dropout_too_high"),
        ({"l2": np.array([0.0, 3.0])}, Adam(1e-2), "weight_decay_too_high"),
    ],
    ids=["decay", "rate", "dropout", "penalty"],
)
def test_settings_of_each_net_of_a_population_are_considered(settings, optimizer, verdict):
    pop = Population((4, 32, 32, 1), 2, loss="binary_cross_entropy", random_state=0, **settings)
    pop.fit(CORNERS, SAME_SIGN, epochs=300, optimizer=optimizer)
    found = diagnose(pop, CORNERS, SAME_SIGN)
    assert found.verdicts[0] in HEALTHY
    assert found.verdicts[1] == verdict


def test_a_penalty_and_not_what_it_does_to_the_weights_is_named():
    """Weights that decay or a penalty has taken away have one sign by chance, and pass on no gradient."""
    X, y = data.friedman(0)
    for settings in ({"l2": 5.0, "hidden": (16,)}, {"optimizer": AdamW(0.01, weight_decay=30.0), "hidden": (20,) * 3}):
        assert verdict_on(X, y, hidden_activation="softplus", **settings).verdict == "weight_decay_too_high"


# ---- held-out samples


# ---- causes before effects


def test_inputs_that_fastmlp_has_encoded_are_never_unscaled():
    """Bins of few rows have large offsets; here also of a target that is no table's column."""
    pytest.importorskip("sklearn")
    pd = pytest.importorskip("pandas")
    from fastmlp import TabularMLPRegressor

    X, y = data.friedman(0)
    table = pd.DataFrame(X, columns=list("abcde")).assign(rare=np.arange(len(X)) == 0)
    for targets in (y, np.stack([y, -y], axis=1)):
        model = TabularMLPRegressor((8,), n_nets=1, max_iter=3, learning_rate_init=1e-6, random_state=0)
        model.fit(table, targets)
        for found in (diagnose(model, table, targets), diagnose(model)):
            assert "unscaled_data" not in {found.verdict, *found.others}


# ---- steps of gradient descent


def test_steps_that_end_beyond_the_valley_are_too_long_and_their_updates_are_not_broken():
    settings = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "epochs": 500, "optimizer": SGD(6.0)}
    found = [verdict_on(data.XOR_X, data.XOR_Y, hidden=(2,), random_state=seed, **settings) for seed in range(6)]
    assert {diagnosis.verdict for diagnosis in found} == {"learning_rate_too_high", "converged"}
    for diagnosis in found:
        assert diagnosis.is_healthy or "Lower the learning rate from 6 to 1, and begin again" in diagnosis.remedy


# ---- updates of a hand-written net


@pytest.mark.parametrize("learning_rate, seed", [(0.1, 0), (0.5, 1)])
def test_a_wrong_sign_is_named_by_the_losses_of_a_function(learning_rate, seed):
    rng = np.random.default_rng(seed)
    X, Y = np.asarray(data.XOR_X, float), np.asarray(data.XOR_Y, float).reshape(4, 1)
    W, b, V, c = rng.normal(size=(2, 4)), np.zeros(4), rng.normal(size=(4, 1)), np.zeros(1)
    losses = []
    for _ in range(500):
        hidden = expit(X @ W + b)
        output = expit(hidden @ V + c)
        losses.append(np.mean((output - Y) ** 2))
        delta = 2 * (output - Y) * output * (1 - output) / 4
        hidden_delta = delta @ V.T * hidden * (1 - hidden)
        V += learning_rate * hidden.T @ delta  # where -= belongs, as in the three lines that follow
        c += learning_rate * delta.sum(axis=0)
        W += learning_rate * X.T @ hidden_delta
        b += learning_rate * hidden_delta.sum(axis=0)
    found = diagnose(lambda X: expit(expit(X @ W + b) @ V + c), X, Y, losses)
    assert found.verdict == "broken_updates"
    assert found.remedy.startswith("Flip the sign of the update")
