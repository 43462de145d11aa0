"""`diagnose`: accepted arguments, the returned diagnosis, and errors."""

import dataclasses
import json

import numpy as np
import pytest
import toy_data as data

import fastmlp
from fastmlp import MLP, Adam, History, Population, diagnose


@pytest.fixture(scope="module")
def moons():
    X, y = data.moons(0)
    net = MLP((2, 16, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    return net, X, y, net.fit(X, y, epochs=500, optimizer=Adam(0.03), verbose=0)


def test_diagnosis_as_text_and_dictionary(moons):
    found = diagnose(*moons)
    assert found.is_healthy
    assert {"loss", "explained"} <= set(found.evidence)
    assert str(found).startswith(f"{found.title} ({found.verdict})\n")
    assert "What to change: " in str(found)
    assert "How to make sure: " in str(found)
    assert max(map(len, str(found).splitlines())) <= 110
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.verdict = "fine"
    as_dict = json.loads(json.dumps(found.to_dict()))
    assert as_dict["verdict"] == found.verdict
    assert as_dict["evidence"].keys() == found.evidence.keys()


def test_diagnose_changes_neither_net_nor_data(moons):
    net, X, y, history = moons
    kept = net.params.copy(), X.copy(), y.copy()
    diagnose(net, X, y, history, validation_data=(X, y))
    for before, after in zip(kept, (net.params, X, y), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_first_layer_with_nan_parameters_is_named(moons, place):
    _, X, y, _ = moons
    net = MLP((2, 4, 4, 1), loss="binary_cross_entropy", random_state=0)
    net.weights[place][0, 0] = np.nan
    found = diagnose(net, X, y)
    assert (found.verdict, found.is_sure) == ("not_finite", True)
    assert found.evidence["first not finite"] == f"the parameters of layer {place + 1}"


def test_non_finite_data_are_located(moons):
    net, X, y, _ = moons
    spoiled = X.copy()
    spoiled[[7, 9], 1] = np.nan, np.inf
    found = diagnose(net, spoiled, y)
    assert found.verdict == "not_finite"
    assert found.evidence["first not finite"] == "X[7, 1] is nan, the first such value; 2 of 200 rows have one"
    targets = y.astype(float)
    targets[5] = np.nan
    assert diagnose(net, X, targets).evidence["first not finite"].startswith("y[5] is nan")
    with pytest.raises(ValueError, match="No row of X and y is finite"):
        diagnose(net, X * np.nan, y)


def test_invalid_arguments_raise(moons):
    net, X, y, _ = moons
    with pytest.raises(ValueError, match="X has 1 feature, but the net has 2 inputs"):
        diagnose(net, X[:, :1], y)
    with pytest.raises(ValueError, match="y has 3 samples, but X has 200"):
        diagnose(net, X, y[:3])
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, n_features\)"):
        diagnose(net, X[None], y)
    with pytest.raises(ValueError, match=r"y must have shape \(200, 1\) or \(200,\), but it has shape \(200, 2\)"):
        diagnose(net, X, np.eye(2)[y])
    with pytest.raises(ValueError, match="it holds fractions"):
        diagnose(MLP((2, 3, 2)), X, y + 0.5)
    with pytest.raises(ValueError, match=r"validation_data must be \(X, y\)"):
        diagnose(net, X, y, validation_data=X)
    with pytest.raises(ValueError, match="learning_rate must be a number"):
        diagnose(net, X, y, learning_rate=-1)


# ---- populations


@pytest.fixture(scope="module")
def population():
    pop = Population((2, 2, 1), 60, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    pop.fit(data.XOR_X, data.XOR_Y, epochs=500, optimizer="rprop", converged=0.05)
    return pop


def test_diagnosis_of_a_population_counts_verdicts(population):
    found = diagnose(population, data.XOR_X, data.XOR_Y)
    assert found.verdicts.shape == found.is_sure.shape == found.loss.shape == (60,)
    assert sum(found.counts().values()) == 60
    assert list(found.counts().values()) == sorted(found.counts().values(), reverse=True)
    np.testing.assert_array_equal(found.verdicts == "converged", population.result.converged)
    assert set(found.nets("converged")) == set(np.flatnonzero(population.result.converged))
    assert str(found).startswith("60 nets\n")
    assert json.loads(json.dumps(found.to_dict()))["counts"] == found.counts()
    for k in (0, 59, -1):
        one = found.net(k)
        assert one.verdict == found.verdicts[k]
        assert one.is_sure == found.is_sure[k]
    with pytest.raises(IndexError, match="There is no net 60"):
        found.net(60)


def test_nets_with_samples_of_their_own_are_diagnosed_one_by_one():
    X, y = np.zeros((3, 20, 2)), np.zeros((3, 20))
    with pytest.raises(ValueError, match=r"one by one: diagnose\(pop.net\(k\), X\[k\], y\[k\]\)"):
        diagnose(Population((2, 8, 1), 3), X, y)


def test_samples_behind_a_verdict_are_named():
    X, y = data.blobs(0, n=3000)
    net = MLP((4, 8, 3), loss="softmax_cross_entropy", random_state=0)
    history = net.fit(X, y, epochs=3, validation_fraction=0.2, verbose=0)
    others = data.blobs(1, n=70)
    assert diagnose(history).judged_on == "1,000 of 2,400 training samples; 600 validation samples"
    given = "70 samples that were given; the net was trained on 2,400 samples, which may be others"
    assert diagnose(history, *others).judged_on == f"{given}; the validation records of the fit"
    assert diagnose(history, *others, validation_data=others).judged_on == f"{given}; 70 validation samples"
    assert f"Judged on: {given[:40]}" in str(diagnose(history, *others))
    assert diagnose(net, X, y).judged_on == "1,000 of 3,000 samples"
    assert diagnose(net, X[:1000], y[:1000]).judged_on == ""


def test_samples_of_the_fit_are_without_label_smoothing():
    X, y = data.moons(0)
    net = MLP((2, 8, 2), loss="softmax_cross_entropy", label_smoothing=0.1, random_state=0)
    history = net.fit(X, y, epochs=5, validation_data=(X[:9], y[:9]), verbose=0)
    for name, rows in (("training", slice(None)), ("validation", slice(9))):
        np.testing.assert_array_equal(history.samples[name][1], np.eye(2)[y[rows]])
    assert diagnose(net).evidence["loss"] == pytest.approx(diagnose(net, X, y).evidence["loss"])


def test_samples_of_a_fit_in_this_process_are_used(tmp_path):
    X, y = data.moons(0)
    net = MLP((2, 16, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    net.fit(X, y, epochs=300, optimizer=Adam(0.03), validation_fraction=0.3, verbose=0)
    assert "explained in validation" in diagnose(net).evidence
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="Give samples X and y"):
        diagnose(fastmlp.load(tmp_path / "net.safetensors"))


def test_missing_samples_and_empty_histories_raise():
    with pytest.raises(ValueError, match="Give samples X and y"):
        diagnose(MLP((2, 1)))
    with pytest.raises(ValueError, match="Give samples X and y"):
        diagnose(History(MLP((2, 1))))
    with pytest.raises(ValueError, match="Give both X and y, or neither"):
        diagnose(MLP((2, 1)), np.ones((3, 2)))
