"""Weights: sample_weight and class_weight become one array with mean 1; class weights count in training only."""

import numpy as np
import pytest
from checked_data import N, network, targets

from fastmlp import MLP, Converged, Population
from fastmlp.data.checked_samples import samples_of_net, split, validated_samples, with_held_out
from fastmlp.data.sample_weights import as_weights, check_class_weights, weighted_by_class
from fastmlp.data.targets import metric_of
from fastmlp.fit.rows import InMemory
from fastmlp.kernels.formulas.counter_rng import fit_seed
from fastmlp.kernels.structs import METRIC_MARGIN


def weights(sample_weight=None, class_weight=None, y=(0, 1, 2, 0, 0, 0), loss="softmax_cross_entropy", k=3):
    net = network(k, loss)
    coded = targets(np.array(y), net)
    metric = metric_of(coded, net)
    return as_weights(sample_weight, class_weight, coded, net, metric, np.dtype(np.float64))


def test_equal_weights_are_dropped():
    assert weights().size == 0
    assert weights([2.0] * N).size == 0


def test_sample_weight_is_scaled_to_mean_one():
    np.testing.assert_allclose(weights([1, 2, 3, 0, 0, 0]), [1, 2, 3, 0, 0, 0])
    np.testing.assert_allclose(weights([10, 20, 30, 0, 0, 0]), [1, 2, 3, 0, 0, 0])


def test_balanced_and_given_class_weights_are_scaled_to_mean_one():
    """Balanced is n / (classes present * count): 6/(3*4) = 0.5 for class 0, 2 for the others; the mean is 1."""
    np.testing.assert_allclose(weights(class_weight="balanced"), [0.5, 2, 2, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(weights(class_weight={0: 1, 1: 5, 2: 1}), np.array([1, 5, 1, 1, 1, 1]) * 6 / 10)
    np.testing.assert_allclose(weights(class_weight={1: 5}), weights(class_weight={0: 1, 1: 5, 2: 1}))


def test_balanced_class_weight_of_one_output():
    found = weights(class_weight="balanced", y=(0, 1, 0, 0, 0, 1), loss="binary_cross_entropy", k=1)
    np.testing.assert_allclose(found, [0.75, 1.5, 0.75, 0.75, 0.75, 1.5])


def test_balanced_class_weight_ignores_absent_classes():
    found = weights(class_weight="balanced", y=(0, 1, 0, 0, 0, 0))
    np.testing.assert_allclose(found, [0.6, 3, 0.6, 0.6, 0.6, 0.6])


def test_zero_weight_of_the_only_class_raises():
    """One output and every target 1: the weight of class 1 counts, not that of class 0."""
    with pytest.raises(ValueError, match="Every sample has weight 0"):
        weights(class_weight={1: 0.0}, y=(1,) * N, loss="binary_cross_entropy", k=1)


def test_sample_and_class_weights_multiply():
    found = weights([2, 1, 1, 1, 1, 0], {0: 1, 1: 3, 2: 0})
    np.testing.assert_allclose(found, np.array([2, 3, 0, 1, 1, 0]) * 6 / 7)


NOT_WEIGHTS = [
    ({"sample_weight": [1.0] * 5}, r"sample_weight must have shape \(6,\), but it has shape \(5,\)"),
    ({"sample_weight": np.ones((6, 1))}, r"sample_weight must have shape \(6,\)"),
    ({"sample_weight": [1, 1, 1, 1, 1, -1]}, "sample_weight must be at least 0"),
    ({"sample_weight": [0.0] * 6}, "above 0 for some sample"),
    ({"sample_weight": [1, np.nan, 1, 1, 1, 1]}, "sample_weight must be finite"),
    ({"sample_weight": list("abcdef")}, "sample_weight must hold numbers"),
    ({"class_weight": "balancd"}, "class_weight must be 'balanced' or a dictionary"),
    ({"class_weight": [1, 2, 3]}, "class_weight must be 'balanced' or a dictionary"),
    ({"class_weight": np.array([1.0, 2.0, 3.0])}, "class_weight must be 'balanced' or a dictionary"),
    ({"class_weight": {3: 1.0}}, r"class_weight names \[3\], but the classes are 0 to 2"),
    ({"class_weight": {"a": 1.0}}, r"class_weight names \['a'\]"),
    ({"class_weight": {1: -1.0}}, r"class_weight\[1\] must be a number"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, "Every sample has weight 0"),
    ({"class_weight": "balanced", "loss": "squared_error", "k": 1}, "class_weight needs a task with exclusive classes"),
]


@pytest.mark.parametrize("settings, message", NOT_WEIGHTS, ids=[str(row[0])[:40] for row in NOT_WEIGHTS])
def test_invalid_weights_raise(settings, message):
    with pytest.raises(ValueError, match=message):
        weights(**settings)


@pytest.mark.parametrize("many", (False, True))
def test_weights_with_an_overflowing_sum_are_scaled(many):
    weight = np.array([1e308, 1e308, 5e307, 0.0])
    x, y, f8 = np.zeros((4, 3)), np.array([0, 1, 0, 1]), np.dtype("float64")
    if many:
        found = validated_samples(x, y, network(), f8, np.tile(weight, (3, 1)), n_nets=3)[0].weight.reshape(3, 4)[1]
    else:
        found = validated_samples(x, y, network(), f8, weight)[0].weight
    np.testing.assert_allclose(found, np.array([1.0, 1.0, 0.5, 0.0]) * 4 / 2.5)


# ---- class weights of training samples when others are held out

SETTINGS = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "dtype": "float64", "random_state": 3}
WEIGHTS = {0: 1.0, 1: 5.0}


@pytest.mark.parametrize("weight", ("5", True, None, float("nan"), -1.0, 10**400))
@pytest.mark.parametrize("given", (lambda weights: weights, lambda weights: [{0: 1.0}, weights]))
def test_weights_that_are_no_numbers_are_refused(weight, given):
    with pytest.raises(ValueError, match=r"^class_weight\['yes'\] must be a number in \[0, inf\), but it is"):
        check_class_weights(given({"no": 1.0, "yes": weight}))


@pytest.mark.parametrize("class_weight", (None, "balanced", {"yes": 5, "no": np.float32(0.0)}, [{0: 1}, {1: 2.0}]))
def test_weights_that_are_numbers_are_none_to_refuse(class_weight):
    check_class_weights(class_weight)


@pytest.fixture
def samples(rng):
    X = rng.normal(size=(40, 2))
    return X, (X[:, 0] + 0.5 * rng.normal(size=40) > 0.4).astype(int), rng.uniform(0.2, 3.0, 40)


def parts(net, X, y, sample_weight):
    """(training, held out) of validation_fraction=0.3 in the first fit of a net, each (X, y, weights)."""
    rows = split(len(X), 0.3, fit_seed(net.seed, 0))
    weights = np.ones(len(X)) if sample_weight is None else sample_weight
    return [(X[part], y[part], weights[part]) for part in rows]


@pytest.mark.parametrize("weighted", (False, True))
@pytest.mark.parametrize("class_weight", (None, WEIGHTS, "balanced"))
def test_validation_fraction_equals_the_same_rows_as_validation_data(samples, class_weight, weighted):
    """Rows held out by validation_fraction, or given as validation_data, lead to the same fit and records."""
    X, y, sample_weight = samples
    sample_weight = sample_weight if weighted else None
    net = MLP((2, 3, 1), **SETTINGS)
    training, held_out = parts(net, X, y, sample_weight)
    by_share = net.fit(
        X, y, epochs=5, sample_weight=sample_weight, class_weight=class_weight, validation_fraction=0.3, verbose=0
    )
    params = net.params.copy()
    net.reset()
    given = net.fit(
        *training[:2],
        epochs=5,
        sample_weight=training[2],
        class_weight=class_weight,
        validation_data=held_out,
        verbose=0,
    )
    np.testing.assert_allclose(by_share.validation_loss, given.validation_loss, rtol=1e-12)
    np.testing.assert_allclose(by_share.validation_accuracy, given.validation_accuracy, rtol=1e-12)
    np.testing.assert_allclose(by_share.loss, given.loss, rtol=1e-12)
    np.testing.assert_allclose(params, net.params, rtol=1e-9)
    X_held, y_held, w_held = held_out
    last = net.evaluate(X_held, y_held, sample_weight=w_held)
    assert given.validation_loss[-1] == pytest.approx(last["loss"])
    assert by_share.validation_loss[-1] == pytest.approx(last["loss"])


@pytest.mark.parametrize("how", ("share", "data"))
def test_population_validation_ignores_class_weight(samples, how):
    """The best validation loss is the one that `evaluate` gives for held-out samples, without class weights."""
    X, y, _ = samples
    pop = Population((2, 3, 1), 3, **SETTINGS)
    held, rows = {"validation_fraction": 0.25}, slice(None)
    if how == "data":
        held = {"validation_data": (X, y)}
    else:
        rows = split(len(X), 0.25, int(np.random.default_rng([pop.seed, 0]).integers(2**63)))[1]
    result = pop.fit(X, y, epochs=1, class_weight=WEIGHTS, verbose=0, early_stopping=50, **held)
    np.testing.assert_allclose(result.best_value, pop.evaluate(X[rows], y[rows])["loss"], rtol=1e-9)


@pytest.mark.parametrize("class_weight", ({1: 5.0}, "balanced"))
def test_a_margin_does_not_change_the_classes_that_are_weighted(rng, class_weight):
    """With it, outputs count as correct by their distance from the target, and not by the largest one."""
    X, y = rng.normal(size=(40, 2)), np.array([0, 1, 2, 1] * 10)
    network = Population((2, 3, 3), 2, **SETTINGS).network
    rule = Converged(accuracy=1.0, margin=0.4)
    rows = InMemory(*validated_samples(X, y, network, np.dtype(float)))
    arguments = network, np.dtype(float), None, 0.25, class_weight, rule
    rows, held_out = with_held_out(rows, *arguments, lambda: 0)
    assert rows.data.metric == held_out.metric == METRIC_MARGIN
    classes = rows.data.Y.reshape(30, 3).argmax(axis=1)
    counts = np.bincount(classes)
    expected = (np.array([1.0, 5.0, 1.0]) if class_weight != "balanced" else 1.0 / counts)[classes]
    np.testing.assert_allclose(rows.data.weight, expected / expected.mean())
    assert not held_out.has_weights


def test_classes_are_counted_for_each_net_by_itself(rng):
    X, y = rng.normal(size=(20, 2)), (np.arange(20) < [[2], [7], [16]]).astype(int)
    network = Population((2, 3, 1), 3, **SETTINGS).network
    data, strides = validated_samples(X, y, network, np.dtype(float), None, "balanced", n_nets=3)
    for k in range(3):
        alone, _ = validated_samples(X, y[k], network, np.dtype(float))
        expected = weighted_by_class(alone, "balanced", network).weight
        np.testing.assert_allclose(samples_of_net(data, strides, k).weight, expected)
