"""Confusion matrix and calibration plot, compared with counts by NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest
from image_comparison import xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import class_probabilities, plots
from fastmlp.plots.classes import reliability
from fastmlp.plots.sample_checks import calibrated, probabilities


def table(ax, n):
    return np.array([int(text.get_text().replace(",", "")) for text in ax.texts]).reshape(n, n)


def test_confusion_matrix_counts_predictions_by_true_class(rng):
    net = fastmlp.MLP((2, 4, 3), loss="softmax_cross_entropy", random_state=0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
    ax = plots.confusion(net, X, y, labels=["a", "b", "c"])
    predicted = net.predict_classes(X)
    expected = [[((y == i) & (predicted == j)).sum() for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(table(ax, 3), expected)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    np.testing.assert_allclose(ax.get_images()[0].get_array().sum(axis=1), 1.0)


def test_confusion_matrix_of_one_output():
    ax = plots.confusion(xor_net(), XOR_X, [0, 1, 1, 1])
    np.testing.assert_array_equal(table(ax, 2), [[1, 0], [1, 2]])
    assert ax.get_title(loc="left") == "Confusion matrix: 75 % of 4 right"


def test_confusion_matrix_of_several_nets_is_of_their_mean(rng):
    X, y = rng.normal(size=(90, 2)), rng.integers(0, 3, 90)
    nets = fastmlp.Population((2, 4, 3), 3, loss="softmax_cross_entropy", random_state=0)
    matrix = table(plots.confusion(nets, X, y), 3)
    assert matrix.sum() == 90
    assert np.trace(matrix) == (nets.ensemble_predict(X).argmax(axis=1) == y).sum()


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_confusion_matrix_of_an_estimator_takes_its_labels(rng):
    X, labels = rng.normal(size=(90, 2)), np.array(["no", "yes", "perhaps"], object)[rng.integers(0, 3, 90)]
    model = fastmlp.MLPClassifier(4, max_iter=1, random_state=0).fit(X, labels)
    ax = plots.confusion(model, X, labels)
    assert np.trace(table(ax, 3)) == round(90 * model.score(X, labels))
    numbers = np.searchsorted(model.classes_, labels)
    np.testing.assert_array_equal(table(plots.confusion(model.net_, X, numbers), 3), table(ax, 3))
    for y, unknown in ((numbers, 0), (np.where(numbers == 1, None, labels), "None")):
        with pytest.raises(ValueError, match=rf"y holds {unknown}, but the classes are no, perhaps, yes\."):
            plots.confusion(model, X, y)


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
    line = next(line for line in ax.get_lines() if line.get_label() == "this net")
    np.testing.assert_allclose(np.sort(line.get_ydata()), [0.0, 1.0])
    three = fastmlp.MLP((2, 3), loss="softmax_cross_entropy", random_state=0)
    assert plots.calibration(three, XOR_X, [0, 1, 2, 2]).get_xlabel() == "probability of the predicted class"


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_calibration_shows_the_probabilities_of_a_net_with_a_temperature(n_outputs, rng):
    loss = "binary_cross_entropy" if n_outputs == 1 else "softmax_cross_entropy"
    net = fastmlp.MLP((2, n_outputs), loss=loss, init_scale=3.0, random_state=0)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, max(2, n_outputs), 200)
    net.preprocessing = SimpleNamespace(target=SimpleNamespace(temperature=0.5, classes=None))
    p = class_probabilities.probabilities(net, X, temperature=0.5)
    np.testing.assert_allclose(calibrated(probabilities(net.network, net.predict(X)), net), p, atol=1e-5)
    shown = p[:, 1] if n_outputs == 1 else p.max(axis=1)
    line = next(line for line in plots.calibration(net, X, y).get_lines() if line.get_label() == "this net")
    right = y == 1 if n_outputs == 1 else p.argmax(axis=1) == y
    np.testing.assert_allclose(line.get_xydata(), np.transpose(reliability(shown, right, 10)[:2]), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_calibration_of_several_nets_is_of_their_mean_probability(rng):
    """The default estimator has several nets."""
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    y = np.where(table["a"] + rng.normal(size=200) > 0, "yes", "no")
    model = fastmlp.TabularMLPClassifier(8, n_nets=4, max_iter=5, random_state=0, device="cpu").fit(table, y)
    is_yes = (y == "yes").astype(float)
    mean, frequency, _, _ = reliability(model.predict_proba(table)[:, 1], is_yes, 10)
    ax = plots.calibration(model, table, y)
    np.testing.assert_allclose(ax.lines[1].get_xydata(), np.c_[mean, frequency], rtol=1e-5)
    assert ax.get_xlabel() == "probability of class yes"
    assert ax.lines[1].get_label() == "mean of 4 nets"
    nets = fastmlp.Population((2, 8, 1), 2, loss="binary_cross_entropy", random_state=0, device="cpu")
    mean, frequency, _, _ = reliability(nets.ensemble_predict(table.to_numpy())[:, 0], is_yes, 10)
    drawn = plots.calibration(nets, table.to_numpy(), is_yes).lines[1].get_xydata()
    np.testing.assert_allclose(drawn, np.c_[mean, frequency], rtol=1e-4)


@pytest.mark.parametrize("picture", [plots.confusion, plots.calibration])
def test_regression_targets_raise(picture, rng):
    net = fastmlp.MLP((2, 1), random_state=0)
    with pytest.raises(ValueError, match="needs targets that are exclusive classes"):
        picture(net, XOR_X, rng.normal(size=4))


@pytest.mark.parametrize("name", [r"$\foo$", "$5 to $10", "_hidden", "a^b_c"])
def test_names_are_not_parsed_as_formulas(name):
    """Class names and feature names are drawn verbatim in every plot."""
    ax = plots.confusion(xor_net(), XOR_X, XOR_Y, labels=[name, "b"])
    shown = ax.get_yticklabels()[0].get_text().replace(r"\$", "$").strip()
    assert shown == name
    ax.figure.canvas.draw()
    plots.calibration(xor_net(), XOR_X, XOR_Y, labels=["a", name]).figure.canvas.draw()
    ax = plots.boundary(xor_net(), XOR_X, XOR_Y, labels=[name, "b"], feature_names=[name, "x"])
    ax.figure.canvas.draw()
    assert name in [text.get_text().replace(r"\$", "$").strip() for text in ax.get_legend().get_texts()]
