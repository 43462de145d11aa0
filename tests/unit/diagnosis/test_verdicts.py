"""The verdicts: each has a rule, evidence and sentences for any net; remedies depend on what is known about the net."""

import re

import numpy as np
import pytest
import toy_data as data
from diagnosis_validation import verdict_of
from scipy.special import expit
from stuck_by_steps import PLAIN, clouds, numbers
from stuck_nets import RELU, of, stuck_relu, train

from fastmlp import MLP, SGD, Adam, AdamW, Population, diagnose
from fastmlp.diagnosis.adapters import model_of
from fastmlp.diagnosis.checked_inputs import as_samples
from fastmlp.diagnosis.loss_curves import as_curve
from fastmlp.diagnosis.measurements import measure
from fastmlp.diagnosis.training_settings import training_settings
from fastmlp.diagnosis.verdicts import NAMES, VERDICTS, score_verdicts
from fastmlp.diagnosis.verdicts.evidence import Evidence
from fastmlp.diagnosis.verdicts.verdict import EVIDENCE, Net

BY_NAME = dict(zip(NAMES, VERDICTS, strict=True))
ENTROPY = {"loss": "binary_cross_entropy", "random_state": 0}


def measured(net, X, y, *known):
    model = model_of(net, X, y, None, None)
    return measure(model, as_samples(X, y, model, None), *known)


SUBJECTS = {
    "net": MLP((2, 3, 1), hidden_activation="tanh", **ENTROPY),
    "population": Population((2, 3, 3, 1), 4, **ENTROPY),
    "no hidden layer": MLP((2, 1), random_state=0),
    "function": lambda x: x[:, 0],
}
SUBJECTS = {kind: measured(net, *data.moons(0)) for kind, net in SUBJECTS.items()}


def test_names_are_unique_and_evidence_is_used():
    assert len(set(NAMES)) == len(NAMES)
    assert all(name == name.lower() and name.isidentifier() for name in NAMES)
    assert {verdict.name for verdict in VERDICTS if verdict.is_healthy} == {
        "converged",
        "still_learning",
        "over_fitting",
    }
    assert {name for verdict in VERDICTS for name in verdict.evidence.split(", ")} >= set(EVIDENCE)


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("verdict", VERDICTS, ids=NAMES)
def test_every_verdict_has_a_confidence_evidence_and_sentences(verdict, kind):
    m = SUBJECTS[kind]
    confidences = np.broadcast_to(verdict.confidence(m), (m.model.n_nets,))
    assert ((confidences >= 0) & (confidences <= 1)).all()
    for k in np.flatnonzero(confidences > 0):
        net = Net(m, k)
        assert all(isinstance(value, (float, str)) for value in verdict.evidence_of(net).values())
        for text in (verdict.remedy(net), verdict.experiment(net)):
            assert text[0].isupper()
            assert text.endswith(".")


def test_verdicts_of_a_population_equal_those_of_single_nets():
    pop = Population((2, 3, 3, 1), 4, **ENTROPY)
    together = score_verdicts(SUBJECTS["population"])
    for k in range(4):
        alone = score_verdicts(measured(pop.net(k), *data.moons(0)))[:, 0]
        assert NAMES[alone.argmax()] == NAMES[together[:, k].argmax()]


# ---- remedies


def net_of(**settings):
    found = train(*data.blobs(0), epochs=30, **settings)
    net, history = found.net, found.history
    return Net(measured(net, found.X, found.y, as_curve(history), None, training_settings(history, net, None)), 0)


@pytest.mark.parametrize(
    "verdict, settings, text, is_said",
    [
        (
            "over_fitting",
            {"dropout": 0.1, "l2": 1e-3},
            "aise dropout from 0.1 to 0.3, raise l2 from 0.001 to 0.01",
            True,
        ),
        ("over_fitting", {"dropout": 0.1}, "add dropout", False),
        ("over_fitting", {"hidden": ()}, "hidden units", False),
        ("learning_rate_too_high", {"optimizer": SGD(0.1, clip_norm=1.0)}, "clip_norm", False),
        ("vanishing_gradient", {}, "Use relu", True),
        ("vanishing_gradient", RELU, "Use relu", False),
        ("plateau", RELU, "tanh or relu", False),
        ("plateau", {"hidden_activation": "sigmoid"}, "tanh or relu", True),
        ("plateau", {"optimizer": Adam(0.01)}, "'adam'", False),
        ("plateau", {"optimizer": SGD(0.01)}, "'adam'", True),
        ("plateau", {}, "draws the same weights again", True),
        ("dead_units", RELU, "draws the same weights again", True),
    ],
)
def test_remedies_advise_what_the_net_has_not(verdict, settings, text, is_said):
    assert (text in BY_NAME[verdict].remedy(net_of(**settings))) == is_said


@pytest.mark.parametrize("left, text", [(0.4, "too unevenly"), (1.2, "after about 2 more epochs, 6.7 % of the epochs")])
def test_epochs_left_are_whole_numbers_of_one_or_more(left, text):
    net = net_of()
    net = Net(Evidence(**vars(net.all) | {"projected": np.array([left])}), 0)
    assert text in BY_NAME["still_learning"].remedy(net)
    assert BY_NAME["still_learning"].evidence_of(net).get("epochs left") == (2.0 if left > 1 else None)


@pytest.mark.parametrize("optimizer", [Adam(0.02), "rprop"])
def test_remedy_for_a_local_minimum_is_another_start(optimizer):
    """A local minimum of ReLU nets on XOR: after Adam or Rprop, neither of them may be advised."""
    found = verdict_of(stuck_relu(optimizer, 2000)(3))
    assert found.verdict == "plateau"
    assert found.remedy.startswith("Begin again with another random_state")
    assert "'rprop'" not in found.remedy + found.experiment
    assert "local minimum" in found.remedy
    assert found.evidence["merged samples"] in (0.5, 0.75)


def noisy(n, noise, seed):
    """Return n samples of which noise hides most, so that a net of many units memorises them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + noise * rng.normal(size=n)
    return X, (y - y.mean()) / y.std()


@pytest.mark.parametrize("with_validation", [True, False])
def test_remedy_of_a_converged_net_states_its_gap(with_validation):
    (X, y), held_out = noisy(2000, 0.5, 3), noisy(300, 0.5, 4)
    net = MLP((8, 16, 1), random_state=0)
    history = net.fit(X, y, epochs=100, batch_size=32, optimizer=Adam(0.003), validation_data=held_out)
    found = diagnose(net, X, y, history, validation_data=held_out if with_validation else None)
    assert found.verdict == "converged"
    assert "Whether other steps or a wider net would lower the loss further, only a trial shows. The " in found.remedy
    training, validation = history.loss[-1], history.validation_loss[-1]
    gap = f"{training:.3g} in training and {validation:.3g} in validation."
    if with_validation:
        training, validation = (100 * found.evidence[name] for name in ("explained", "explained in validation"))
        gap = f"{training:.0f} % of the variance of its samples and {validation:.0f} % of that of validation samples."
    assert found.remedy.endswith(gap)
    assert (training > validation) == with_validation


def test_history_is_asked_for_where_only_it_tells_a_new_net_from_a_stuck_one():
    X, y = data.blobs(0)
    found = diagnose(MLP((4, 16, 3), loss="softmax_cross_entropy", random_state=0), X, y)
    assert not found.is_sure
    assert found.remedy.startswith("Give diagnose the history, which shows whether the loss falls")
    dead = train(X, y, changed=lambda net: net.biases[0].__setitem__(slice(None), -50.0), **RELU)
    assert "too high has this effect, too: give diagnose the history" in diagnose(dead.net, X, y).remedy
    assert "too high" not in diagnose(dead.net, X, y, dead.history).remedy


# ---- remedies against wrong learning rates


def named_rate(found):
    return float(re.search(r" to ([\d.e-]+\d)", found.remedy)[1])


@pytest.mark.parametrize(
    "optimizer, source, wrong, reached",
    [
        (SGD(3.0, momentum=0.9), clouds, "too_high", 0.7),
        (SGD(3.0), numbers, "too_high", 0.7),
        (Adam(10.0), clouds, "too_high", 0.7),
        (Adam(1e-6), clouds, "too_low", 0.7),
        (SGD(1e-5), clouds, "too_low", 0.7),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_learning_rate_of_the_remedy_trains_the_net(optimizer, source, wrong, reached):
    """The rate is named as it was given, without what momentum makes of it."""
    found = verdict_of(of(source, optimizer=optimizer, **PLAIN | RELU)(0))
    assert found.verdict == f"learning_rate_{wrong}"
    assert found.evidence["learning rate"] == pytest.approx(optimizer.learning_rate)
    if wrong == "too_high":
        assert ", and begin again from the first weights (net.reset()): a first step longer than " in found.remedy
        assert "from its first weights" in found.experiment
    rule = {"momentum": 0.9} if "momentum=0.9" in repr(optimizer) else {}
    cured = of(source, optimizer=type(optimizer)(named_rate(found), **rule), **PLAIN | RELU)(0)
    assert verdict_of(cured).evidence["explained"] > reached


def test_steps_that_end_beyond_the_valley_are_too_long_and_no_broken_updates():
    pop = Population((2, 2, 1), 8, hidden_activation="tanh", **ENTROPY)
    pop.fit(data.XOR_X, data.XOR_Y, epochs=500, optimizer=SGD(6.0))
    counts = diagnose(pop, data.XOR_X, data.XOR_Y).counts()
    assert set(counts) == {"learning_rate_too_high", "converged"}


# ---- causes that cases of diagnosis_validation.py have not

CORNERS = np.random.default_rng(0).normal(size=(400, 4))
SAME_SIGN = (CORNERS[:, 0] * CORNERS[:, 1] > 0) * 1
HEALTHY = ("converged", "still_learning")


def verdict_on(X, y, **settings):
    return verdict_of(train(X, y, **settings))


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


@pytest.mark.parametrize(
    "optimizer", [AdamW(0.01, weight_decay=1.0), SGD(0.1, clip_norm=1.0), Adam(0.01, clip_norm=1e-5)], ids=str
)
def test_harmless_weight_decay_and_clipping_are_not_named(optimizer):
    assert verdict_on(CORNERS, SAME_SIGN, optimizer=optimizer, **RELU).is_healthy


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
