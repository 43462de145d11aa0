"""Confusion matrix, calibration and predictions over true values, compared with counts by NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest
from image_comparison import xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import class_probabilities, plots
from fastmlp.plots.calibration_and_confusion import reliability

QUICK = {"max_iter": 3, "random_state": 0, "device": "cpu"}


def counts(ax, n):
    return np.array([int(text.get_text().replace(",", "")) for text in ax.texts]).reshape(n, n)


def points(ax):
    """The points of the curve of a calibration."""
    return next(line for line in ax.get_lines() if line.get_label() not in ("perfect",)).get_xydata()


@pytest.fixture
def table(rng):
    return pytest.importorskip("pandas").DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})


# ---- confusion matrix


def test_confusion_matrix_counts_predictions_by_true_class(rng):
    net = fastmlp.MLP((2, 4, 3), loss="softmax_cross_entropy", random_state=0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
    ax = plots.confusion(net, X, y, labels=["a", "b", "c"])
    predicted = net.predict_classes(X)
    expected = [[((y == i) & (predicted == j)).sum() for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(counts(ax, 3), expected)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    np.testing.assert_allclose(ax.get_images()[0].get_array().sum(axis=1), 1.0)


@pytest.mark.parametrize("settings", [{"loss": "binary_cross_entropy"}, {"output_activation": "tanh"}])
def test_confusion_matrix_of_one_output_agrees_with_predict_classes(settings, rng):
    net = fastmlp.MLP((2, 8, 1), random_state=1, **settings)
    X = 3 * rng.normal(size=(200, 2))
    np.testing.assert_array_equal(counts(plots.confusion(net, X, net.predict_classes(X)), 2).diagonal().sum(), 200)
    ax = plots.confusion(xor_net(), XOR_X, [0, 1, 1, 1])
    np.testing.assert_array_equal(counts(ax, 2), [[1, 0], [1, 2]])
    assert ax.get_title(loc="left") == "Confusion matrix\n75 % of 4 right"


def test_the_title_of_a_confusion_matrix_fits_its_figure(rng):
    net = fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
    X, y = rng.normal(size=(3000, 2)), rng.integers(0, 2, 3000)
    for labels in (["no", "yes"], ["a class with a long name", "another one, not shorter"]):
        ax = plots.confusion(net, X, y, labels=labels)
        ax.figure.canvas.draw()
        assert ax._left_title.get_window_extent().x1 <= ax.figure.bbox.x1


def test_confusion_matrix_of_several_nets_is_of_their_mean(rng):
    X, y = rng.normal(size=(90, 2)), rng.integers(0, 3, 90)
    nets = fastmlp.Population((2, 4, 3), 3, loss="softmax_cross_entropy", random_state=0)
    matrix = counts(plots.confusion(nets, X, y), 3)
    assert matrix.sum() == 90
    assert np.trace(matrix) == (nets.ensemble_predict(X).argmax(axis=1) == y).sum()


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_confusion_matrix_of_an_estimator_takes_its_labels(rng):
    X, labels = rng.normal(size=(90, 2)), np.array(["no", "yes", "perhaps"], object)[rng.integers(0, 3, 90)]
    model = fastmlp.MLPClassifier(4, max_iter=1, random_state=0).fit(X, labels)
    ax = plots.confusion(model, X, labels)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["no", "perhaps", "yes"]
    assert np.trace(counts(ax, 3)) == round(90 * model.score(X, labels))
    numbers = np.searchsorted(model.classes_, labels)
    np.testing.assert_array_equal(counts(plots.confusion(model.net_, X, numbers), 3), counts(ax, 3))
    for y, unknown in ((numbers, 0), (np.where(numbers == 1, None, labels), "None")):
        with pytest.raises(ValueError, match=rf"y holds {unknown}, but the classes are no, perhaps, yes\."):
            plots.confusion(model, X, y)


# ---- calibration


def test_reliability_of_known_probabilities(rng):
    p = rng.random(5000)
    happened = rng.random(5000) < p
    mean, share, count, error = reliability(p, happened.astype(float), 10)
    assert count.sum() == 5000
    np.testing.assert_allclose(mean, share, atol=0.06)
    assert error < 0.03
    assert reliability(p, (rng.random(5000) < p**3).astype(float), 10)[3] > 0.2
    assert reliability(np.array([1.0, 1.0]), np.ones(2), 10)[0].tolist() == [1.0], "1 belongs to the last bin"


def test_calibration_plot_shows_accuracy_by_probability():
    ax = plots.calibration(xor_net(), XOR_X, XOR_Y, n_bins=5)
    assert ax.get_title(loc="left").startswith("Calibration: expected error ")
    assert ax.get_xlabel() == "probability of class 1"
    np.testing.assert_allclose(np.sort(points(ax)[:, 1]), [0.0, 1.0])
    three = fastmlp.MLP((2, 3), loss="softmax_cross_entropy", random_state=0)
    assert plots.calibration(three, XOR_X, [0, 1, 2, 2]).get_xlabel() == "probability of the predicted class"


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_calibration_shows_the_probabilities_of_a_net_with_a_temperature(n_outputs, rng):
    loss = "binary_cross_entropy" if n_outputs == 1 else "softmax_cross_entropy"
    net = fastmlp.MLP((2, n_outputs), loss=loss, init_scale=3.0, random_state=0)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, max(2, n_outputs), 200)
    net.preprocessing = SimpleNamespace(target=SimpleNamespace(temperature=0.5, classes=None))
    p = class_probabilities.probabilities(net, X, temperature=0.5)
    shown = p[:, 1] if n_outputs == 1 else p.max(axis=1)
    right = y == 1 if n_outputs == 1 else p.argmax(axis=1) == y
    expected = np.transpose(reliability(shown, right, 10)[:2])
    np.testing.assert_allclose(points(plots.calibration(net, X, y)), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_calibration_of_several_nets_is_of_their_mean_probability(rng, table):
    """The default estimator has several nets."""
    y = np.where(table["a"] + rng.normal(size=200) > 0, "yes", "no")
    model = fastmlp.TabularMLPClassifier(8, n_nets=4, **QUICK).fit(table, y)
    nets = fastmlp.Population((2, 8, 1), 2, loss="binary_cross_entropy", random_state=0, device="cpu")
    is_yes, X = (y == "yes").astype(float), table.to_numpy()
    ax = plots.calibration(model, table, y)
    assert (ax.get_xlabel(), ax.lines[1].get_label()) == ("probability of class yes", "mean of 4 nets")
    for drawn, p in (
        (ax, model.predict_proba(table)[:, 1]),
        (plots.calibration(nets, X, is_yes), nets.ensemble_predict(X)[:, 0]),
    ):
        np.testing.assert_allclose(points(drawn), np.transpose(reliability(p, is_yes, 10)[:2]), rtol=1e-4)


# ---- predictions


def test_predictions_plot_shows_outputs_and_error(rng):
    net = fastmlp.MLP((3, 2), random_state=0)
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    ax = plots.predictions(net, X, Y, output=1)
    drawn = ax.collections[0].get_offsets()
    np.testing.assert_allclose(drawn, np.c_[Y[:, 1], net.predict(X)[:, 1]], rtol=1e-5)
    error = np.sqrt(np.mean((drawn[:, 0] - drawn[:, 1]) ** 2))
    assert ax.get_title(loc="left").startswith(f"Predictions: RMSE {error:.3g}, R² ")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true output 1", "predicted output 1")
    with pytest.raises(ValueError, match="output must be below 2"):
        plots.predictions(net, X, Y, output=2)


def test_predictions_plot_uses_units_of_the_table(table):
    from fitted_tables import fitted

    table = table.assign(price=1000 + 50 * table["b"])
    preprocessing = fitted(table, "price")
    X, y = preprocessing.transform(table), preprocessing.target.encode(table["price"])
    net = fastmlp.MLP((X.shape[1], 1), random_state=0)
    net.preprocessing = preprocessing
    ax = plots.predictions(net, X, y)
    assert ax.get_xlabel() == "true price"
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], table["price"], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_predictions_plot_of_estimators_and_several_nets_shows_their_mean(table):
    """The default estimator has several nets; they predict by their mean, which is what is drawn."""
    Y, X = np.c_[1000 + 50 * table["a"], 3 * table["b"]], table.to_numpy()
    offsets = lambda *arguments: plots.predictions(*arguments).collections[0].get_offsets()
    several_targets = fastmlp.TabularMLPRegressor(8, n_nets=1, **QUICK).fit(table, Y)
    expected = np.c_[Y[:, 0], several_targets.predict(table)[:, 0]]
    np.testing.assert_allclose(offsets(several_targets, table, Y), expected, rtol=1e-9)
    several_nets = fastmlp.TabularMLPRegressor(8, n_nets=4, **QUICK).fit(table, Y[:, 0])
    expected = np.c_[Y[:, 0], several_nets.predict(table)]
    np.testing.assert_allclose(offsets(several_nets, table, Y[:, 0]), expected, rtol=1e-5)
    nets = fastmlp.Population((2, 3, 1), 3, random_state=0, device="cpu")
    expected = nets.ensemble_predict(X)[:, 0]
    np.testing.assert_allclose(offsets(nets, X, Y[:, 0])[:, 1], expected, rtol=1e-5)


# ---- what every plot checks


@pytest.mark.parametrize("picture", [plots.confusion, plots.calibration])
def test_regression_targets_raise(picture, rng):
    with pytest.raises(ValueError, match="needs targets that are exclusive classes"):
        picture(fastmlp.MLP((2, 1), random_state=0), XOR_X, rng.normal(size=4))


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_plots_of_one_net_refuse_tables_and_several_nets(table):
    y = np.where(np.arange(200) % 2, "yes", "no")
    several = fastmlp.Population((2, 8, 1), 3, loss="binary_cross_entropy", random_state=0)
    for n_nets, net in ((1, "model.net_"), (2, r"model.net_.best\(\)")):
        model = fastmlp.TabularMLPClassifier(8, n_nets=n_nets, **QUICK).fit(table, y)
        with pytest.raises(ValueError, match=rf"takes a table. Encode it: .*encoded_samples.* then plot {net}\."):
            plots.boundary(model, table, y)
    with pytest.raises(ValueError, match=r"there are 3 here. Plot one of them, such as pop.best\(\)"):
        plots.boundary(several, table, y == "yes")
    with pytest.raises(ValueError, match=r"needs an MLP or a fitted estimator .* which is not fitted: call fit first"):
        plots.confusion(fastmlp.MLPClassifier(), table, y)


@pytest.mark.parametrize("name", [r"$\foo$", "$5 to $10", "_hidden", "a^b_c"])
def test_names_are_not_parsed_as_formulas(name):
    """Class names and feature names are drawn verbatim in every plot."""
    shown = lambda text: text.get_text().replace(r"\$", "$").strip()
    matrix = plots.confusion(xor_net(), XOR_X, XOR_Y, labels=[name, "b"])
    assert shown(matrix.get_yticklabels()[0]) == name
    curve = plots.calibration(xor_net(), XOR_X, XOR_Y, labels=["a", name])
    plane = plots.boundary(xor_net(), XOR_X, XOR_Y, labels=[name, "b"], feature_names=[name, "x"])
    assert name in [shown(text) for text in plane.get_legend().get_texts()]
    for ax in (matrix, curve, plane):
        ax.figure.canvas.draw()
