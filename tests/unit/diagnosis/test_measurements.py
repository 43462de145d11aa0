"""What is measured of nets and data: compared with NumPy, known Hessians, steps of nets, and nets with known values."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP, SGD, Adam, diagnose
from fastmlp.diagnosis.adapters import model_of
from fastmlp.diagnosis.checked_inputs import CheckedSamples
from fastmlp.diagnosis.curvature import longest_first_step, measure_curvature
from fastmlp.diagnosis.data_checks import check_data
from fastmlp.diagnosis.measurements import base_loss_of, measure
from fastmlp.diagnosis.training_settings import TrainingSettings
from fastmlp.diagnosis.unit_measurements import draw_masks, duplicate_fraction, merged_fraction

X, Y = data.moons(0)[0], data.moons(0)[1][:, None].astype(float)
PLAIN, ADAM = TrainingSettings(rule="sgd", is_plain_descent=True), TrainingSettings(rule="adam")


def model(net):
    return model_of(net, X, Y, None, None)


def measured(net, X=X, Y=Y):
    return measure(model(net), CheckedSamples(X, Y, "", ""))


def net(*hidden, **settings):
    return MLP((2, *hidden, 1), **{"loss": "binary_cross_entropy", "random_state": 0, "dtype": "float64", **settings})


# ---- outputs


def test_base_loss_is_the_loss_of_a_constant_output():
    p = Y.mean()
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    absolute = np.mean(abs(Y - np.median(Y)))
    for loss, expected in (
        ("binary_cross_entropy", entropy),
        ("squared_error", np.var(Y)),
        ("absolute_error", absolute),
    ):
        assert base_loss_of(model(net(3, loss=loss)), Y) == pytest.approx(expected)


def test_output_measurements_equal_evaluate_and_numpy():
    found, outputs, figures = measured(net(4)), net(4).predict(X), net(4).evaluate(X, Y)
    assert (found.loss[0], found.accuracy[0]) == pytest.approx((figures["loss"], figures["accuracy"]))
    assert found.explained[0] == pytest.approx(1 - np.mean((outputs - Y) ** 2) / np.var(Y))
    assert found.agreement[0] == pytest.approx(np.corrcoef(outputs[:, 0], Y[:, 0])[0, 1])
    assert (found.lowest_output[0], found.highest_output[0]) == pytest.approx((outputs.min(), outputs.max()))


def test_skill_is_measured_from_the_loss_of_perfect_outputs(rng):
    """For counts and probabilities as targets, perfect outputs have a loss other than zero."""
    X = rng.normal(size=(300, 3))
    y = rng.poisson(np.exp(1.5 + 0.5 * X[:, 0]))
    counts = MLP((3, 8, 1), loss="poisson", hidden_activation="tanh", random_state=0)
    history = counts.fit(X, y, epochs=400, optimizer=Adam(0.02), verbose=0)
    found = measured(counts, X, y[:, None].astype(float))
    assert found.base_loss < 0
    assert 0.4 < found.skill[0] < 0.9
    assert diagnose(counts, X, y, history).is_healthy
    soft = 1 / (1 + np.exp(-2 * X[:, :1]))
    one = MLP((3, 8, 1), loss="binary_cross_entropy", hidden_activation="tanh", random_state=0)
    history = one.fit(X, soft, epochs=600, optimizer=Adam(0.02), verbose=0)
    assert measured(one, X, soft).skill[0] > 0.95
    found = diagnose(one, X, soft, history)
    assert found.verdict == "converged"
    assert found.evidence["loss"] > 0.3


# ---- curvature and steps


def test_curvature_of_a_linear_net_equals_its_hessian(rng):
    """The mean of (X w + b - y)**2 has the Hessian 2 / n [X 1]' [X 1]."""
    net = MLP((3, 1), dtype="float64", random_state=0)
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 1))
    found = {name: value[0] for name, value in measure_curvature(model(net), X, Y, 10).items()}
    A = np.hstack([X, np.ones((50, 1))])
    values = np.linalg.eigvalsh(2 / 50 * A.T @ A)
    np.testing.assert_allclose([found["smallest_curvature"], found["largest_curvature"]], values[[0, -1]], rtol=1e-5)
    loss, gradient = net.loss_and_gradient(X, Y)
    assert found["gradient"] == pytest.approx(np.linalg.norm(gradient))
    assert found["safe_step"] == pytest.approx(1 / values[-1], rel=1e-5)
    assert longest_first_step(model(net), X, Y, PLAIN) == pytest.approx(2.0 / values[-1], rel=1e-4)
    params = net.params.copy()
    for name, step in (("safe", found["safe_step"]), ("best", found["best_step"])):
        net.params = params - step * gradient
        assert found[f"{name}_gain"] == pytest.approx(loss - net.evaluate(X, Y)["loss"], rel=1e-6)
    assert found["best_gain"] >= found["safe_gain"] * 0.5


@pytest.mark.parametrize("settings", [PLAIN, ADAM], ids=["descent", "adam"])
def test_first_steps_shorter_than_the_longest_lower_the_loss(settings):
    X, y = data.friedman(0)
    Y, nets = y[:, None], [model(MLP((5, 16, 1), random_state=seed)) for seed in range(8)]
    longest, outcomes = longest_first_step(nets[0], X, Y, settings), {0.3: [], 3.0: []}
    for one in nets:
        before, gradient = one.objective(X, Y, one.params), one.gradient(X, Y)
        direction = gradient if settings is PLAIN else np.sign(gradient)
        for factor, lowered in outcomes.items():
            lowered.append(one.objective(X, Y, one.params - factor * longest * direction)[0] < before[0])
    assert np.mean(outcomes[0.3]) == 1.0
    assert np.mean(outcomes[3.0]) < 0.3


# ---- units


def test_duplicate_units_are_counted(rng):
    units = rng.normal(size=(2, 6, 5))
    units[0, 3] = units[0, 1]
    units[1, :4] = units[1, 0]
    np.testing.assert_allclose(duplicate_fraction(units), [2 / 6, 4 / 6])
    assert duplicate_fraction(rng.normal(size=(1, 300, 40)))[0] < 0.02
    assert duplicate_fraction(np.zeros((1, 3, 2)))[0] == 1
    assert duplicate_fraction(np.ones((1, 1, 2)))[0] == 0


@pytest.mark.parametrize(
    "outputs, fraction",
    [
        ([0, 1, 0.5, 0.5], 0.5),  # two patterns at one half: ln 2 / 2
        ([0, 2 / 3, 2 / 3, 2 / 3], 0.75),  # three at two thirds: 0.477
        ([0.5] * 4, 1.0),  # all at the base rate
        ([0, 1, 1, 0], 0.0),  # equal outputs for equal targets
        ([0.4] * 4, 0.0),  # not the mean of the targets: training goes on
    ],
)
def test_local_minima_of_xor_have_merged_outputs(outputs, fraction):
    targets = data.XOR_Y[:, None].astype(float)
    assert merged_fraction(np.array([[outputs]], float).reshape(1, 4, 1), targets).tolist() == [fraction]


@pytest.mark.parametrize("dropout", [0.0, 0.2, 0.5, [0.9, 0.0]])
def test_mask_noise_equals_the_noise_of_recorded_losses(dropout):
    """At a learning rate too small to change a parameter, records differ by their masks alone."""
    mlp = net(8, 8, hidden_activation="tanh", dropout=dropout, random_state=1)
    records = mlp.fit(X, Y, epochs=300, optimizer=SGD(1e-12), verbose=0).loss
    found = draw_masks(model(mlp), X, Y)
    assert found["mask_noise"][0] == pytest.approx(records.std(), rel=0.4, abs=1e-6)
    assert found["mask_loss"][0] == (pytest.approx(records.mean(), abs=records.std()) if dropout else 0.0)


# ---- data


def checks(X, y):
    y = np.asarray(y, float)
    return check_data(np.asarray(X, float), y[:, None] if y.ndim == 1 else y)


@pytest.mark.parametrize("make", [data.moons, data.friedman, data.rare, data.overlapping, data.rings])
def test_signal_separates_real_from_shuffled_labels(make):
    X, y = make(0)
    assert checks(X, y)["signal"] > 5
    shuffled = checks(X, np.random.default_rng(0).permutation(y))
    assert shuffled["signal"] < 3.4
    assert shuffled["attainable"] < 0.06


def test_parity_is_not_taken_for_noise():
    """Nearest neighbours are always wrong, which is as informative as always right."""
    found = checks(*data.parity(7))
    assert found["signal"] > 4
    assert found["attainable"] > 0.5


@pytest.mark.parametrize("n_rare", [1, 7])
def test_rare_class_of_few_samples_gives_nan(n_rare):
    X = np.random.default_rng(0).normal(size=(400, 4))
    y = X[:, 0] >= np.sort(X[:, 0])[-n_rare]
    for targets in (y, np.column_stack([y, ~y]), 1e3 * y + X[:, 1]):  # labels, one-hot, and outliers among quantities
        assert np.isnan(checks(X, targets)["signal"])
    assert checks(X, X[:, 0] >= np.sort(X[:, 0])[-8])["signal"] > 3.8


def test_contradicting_labels_limit_the_attainable_fit():
    X, y = np.repeat(data.XOR_X, 25, axis=0), np.repeat(data.XOR_Y, 25)
    assert (checks(X, y)["contradicted"], checks(X, y)["attainable"]) == (0, 1.0)
    y[::25] = 1 - y[::25]  # one of 25 in each corner
    found, share = checks(X, y), 4 * 25 * (1 / 25) * (24 / 25) / (100 * 0.25)
    assert (found["contradicted"], found["attainable"]) == pytest.approx((share, 1 - share))


def test_scale_of_indicators_does_not_count():
    X, y = data.friedman(0)
    rare = (np.arange(len(X)) == 0).astype(float)[:, None]
    found = checks(np.hstack([X, rare, 1.0 - rare]), y)
    assert found["largest_input_offset"] < 0.2
    assert found["typical_input_spread"] == pytest.approx(np.median(X.std(axis=0)), rel=0.1)
    assert checks(np.hstack([X, 1.0 - 0.5 * rare]), y)["largest_input_offset"] > 10
    assert checks(np.hstack([rare, 1.0 - rare]), y)["largest_input_offset"] == 0
