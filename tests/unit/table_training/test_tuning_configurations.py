"""Configurations of `tune`: what is drawn, which are trained together, and scores, compared with scikit-learn's."""

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.class_probabilities import fit_temperature, logits, probabilities
from fastmlp.table_training.encoded_rows import Rows
from fastmlp.table_training.recipes import QUALITIES, Recipe
from fastmlp.table_training.tuning_configurations import (
    PER_NET,
    SHARED,
    SPACE,
    configurations,
    groups_of_recipes,
    joint_recipe,
    scores_of,
    standard_errors_apart,
)
from fastmlp.tables.number_columns import NumericEncoding

metrics = pytest.importorskip("sklearn.metrics", reason="scores are compared with scikit-learn's")


def drawn(n=50, searched=SPACE, recipe=QUALITIES["good"]):
    return configurations(recipe, searched, n, 4000, np.random.default_rng(0))


def test_the_first_configuration_is_the_recipe_and_the_others_are_drawn_from_the_ranges():
    recipe, (first, *others) = QUALITIES["good"], drawn(300)
    assert first == {name: getattr(recipe, name) for name in SPACE}
    assert all(row != first and row.keys() == first.keys() for row in others)
    for name, (low, high, _) in PER_NET.items():
        values = [row[name] for row in others]
        assert low <= min(values) < max(values) <= high
        assert len(set(values)) == len(values)
    for name in SHARED.keys() - {"batch_size"}:
        assert {row[name] for row in others} == set(SHARED[name])
    assert {row["batch_size"] for row in others} == {"auto", 32, 128}  # of 64 rows, the recipe's batch
    rows = drawn(searched=["dropout", "numeric_encoding"])
    assert {frozenset(row) for row in rows} == {frozenset({"dropout", "numeric_encoding"})}


def test_the_space_holds_the_presets_and_valid_values():
    """Otherwise no drawn configuration could be a neighbour of the preset."""
    for recipe in QUALITIES.values():
        assert all(low <= getattr(recipe, name) <= high for name, (low, high, _) in PER_NET.items())
        assert all(getattr(recipe, name) in SHARED[name] for name in SHARED.keys() - {"batch_size"})
    for kind in SHARED["numeric_encoding"]:
        NumericEncoding(kind)


def test_several_nets_share_a_population():
    recipes = [Recipe(**row) for row in drawn(n=20)]
    encodings = [SHARED["numeric_encoding"].index(recipe.numeric_encoding) for recipe in recipes]
    groups = groups_of_recipes(recipes, encodings)
    assert sorted(k for group in groups for k in group) == list(range(20))
    assert len(groups) <= 5
    for group in groups:
        assert len({(recipes[k].hidden, recipes[k].batch_size, encodings[k]) for k in group}) == 1
    of_layers = [Recipe(dropout=[0.1, 0.2, 0.3], learning_rate=rate) for rate in (0.1, 0.2)]
    assert groups_of_recipes(of_layers, [0, 0]) == [[0], [1]], "a rate for each layer needs a net of its own"


def test_a_joint_recipe_has_an_array_of_each_setting_of_nets():
    joint = joint_recipe([Recipe(dropout=0.1), Recipe(dropout=0.3)])
    np.testing.assert_array_equal(joint.dropout, [0.1, 0.3])
    np.testing.assert_array_equal(joint.weight_decay, [Recipe().weight_decay] * 2)
    assert joint_recipe([Recipe(dropout=0.1)]) == Recipe(dropout=0.1)


# ---- scores


@pytest.fixture
def rows(rng):
    return Rows(rng.normal(size=(200, 3)).astype(np.float32), rng.integers(0, 3, 200), rng.uniform(0.5, 2.0, 200))


def temperature_of(net, rows):
    return fit_temperature(logits(net, rows.X)[None], rows.y, rows.weights, net.network)


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1}, {"init_scale": 3.0}])
def test_scores_of_classes_are_log_losses_of_calibrated_probabilities(rows, settings):
    nets = Population((3, 5, 3), 4, loss="softmax_cross_entropy", random_state=0, **settings)
    values, losses = scores_of(nets, rows)
    p = [[probabilities(net, rows.X, temperature=t) for t in (temperature_of(net, rows), 1.0)] for net in nets]
    expected, plain = (
        -np.array([[metrics.log_loss(rows.y, of, sample_weight=rows.weights) for of in two] for two in p])
    ).T
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose(values, -np.average(losses, axis=1, weights=rows.weights))
    np.testing.assert_allclose(scores_of(nets.net(2), rows).values, values[2:3], rtol=1e-5)
    assert (values >= plain - 1e-6).all()
    assert "init_scale" not in settings or (values > plain + 0.01).all()


def test_scores_of_numbers_are_squared_errors(rows):
    y, net = rows.X[:, :2].astype(np.float64), MLP((3, 4, 2), random_state=0)
    expected = metrics.mean_squared_error(y, net.predict(rows.X), sample_weight=rows.weights)
    np.testing.assert_allclose(scores_of(net, rows._replace(y=y)).values, [-expected], rtol=1e-5)


def test_labels_and_nets_that_diverged(rows):
    y, nets = (rows.X > 0).astype(np.float64), Population((3, 5, 3), 2, loss="binary_cross_entropy", random_state=0)
    nets.params[1] = np.nan
    weights = np.repeat(rows.weights, 3)
    temperature = fit_temperature(logits(nets.net(0), rows.X)[None], y, rows.weights, nets.network, True)
    p = probabilities(nets.net(0), rows.X, True, temperature)
    expected = metrics.log_loss(y.ravel(), p.ravel(), sample_weight=weights)
    np.testing.assert_allclose(scores_of(nets, rows._replace(y=y)).values, [-expected, -np.inf], rtol=1e-4)


def test_standard_errors_are_those_of_a_paired_test(rng):
    first, second = rng.normal(size=(2, 500)) + rng.normal(size=500)
    stats = pytest.importorskip("scipy.stats", reason="the reference")
    expected = stats.ttest_rel(first, second).statistic
    assert standard_errors_apart(first, second, None) == pytest.approx(expected, rel=0.01)
    of_first_half = standard_errors_apart(first[:250], second[:250], None)
    assert standard_errors_apart(first, second, np.repeat([1.0, 0.0], 250)) == pytest.approx(of_first_half)
