"""What is exported: layers, labels, the mean of several nets, and what is refused."""

import numpy as np
import pytest
from exported_outputs import assert_exported, c_outputs, onnx_outputs, rounding_error

from fastmlp import MLP, Population
from fastmlp.export.predictor import PROBABILITIES, Predictor, checked_labels


def predictor_of(net):
    return Predictor(net.network, net.params)


def test_layers_are_those_of_the_net():
    net, pop = MLP((3, 5, 2), random_state=0), Population((3, 5, 2), 4, random_state=0)
    for (W, b), W_net, b_net in zip(predictor_of(net).layers(), net.weights, net.biases, strict=True):
        np.testing.assert_array_equal(W, W_net)
        np.testing.assert_array_equal(b, b_net)
    for (W, b), W_net, b_net in zip(predictor_of(pop).layers(), pop.net(2).weights, pop.net(2).biases, strict=True):
        assert (W.shape, b.shape) == ((4, *W_net.shape), (4, *b_net.shape))
        np.testing.assert_array_equal(W[2], W_net)
        np.testing.assert_array_equal(b[2], b_net)


@pytest.mark.parametrize(
    "labels, expected",
    [
        (["b", "a"], np.array(["b", "a"], object)),
        (np.array(["b", "a"]), np.array(["b", "a"], object)),
        (np.array(["b", "a"], object), np.array(["b", "a"], object)),
        ([3, 1], np.array([3, 1], np.int64)),
        (np.array([3, 1], object), np.array([3, 1], np.int64)),
        (np.array([3, 1], np.uint8), np.array([3, 1], np.int64)),
        ([False, True], np.array([0, 1], np.int64)),
        ([1.0, 2.0], np.array([1, 2], np.int64)),
        ([0.5, 2.0], np.array([0.5, 2.0])),
        (np.array([1, 1.5, 2], object), np.array([1.0, 1.5, 2.0])),
    ],
)
def test_labels(labels, expected):
    found = checked_labels(labels)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_labels_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match=r"The 2 classes should be all text or all numbers .* they are int, str"):
        checked_labels(np.array([1, "a"], object))


def test_nets_that_cannot_be_exported_are_refused():
    net = MLP((3, 5, 2), random_state=0)
    with pytest.raises(ValueError, match="The classifier has seen one class only, 'a'"):
        Predictor(net.network, net.params, PROBABILITIES, classes=np.array(["a"], object))
    net.params[3] = np.nan
    with pytest.raises(ValueError, match="The parameters are not all finite"):
        predictor_of(net)


@pytest.mark.parametrize("loss, n_outputs", [("binary_cross_entropy", 1), ("softmax_cross_entropy", 3)])
def test_exported_mean_of_a_population_is_that_of_its_ensemble(loss, n_outputs, tmp_path):
    pop = Population((4, 6, n_outputs), 5, loss=loss, random_state=0, device="cpu")
    X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    pop.export(tmp_path / "net.onnx", mean=True)
    pop.export(tmp_path / "net.h", mean=True)
    expected = pop.ensemble_predict(X)
    (found,) = onnx_outputs(tmp_path / "net.onnx", {"X": X})
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(c_outputs(tmp_path / "net.h", X, n_outputs), expected, atol=2e-6)


def test_mean_of_one_net_is_refused(tmp_path):
    with pytest.raises(ValueError, match="mean=True is for the nets of a population"):
        MLP((2, 1)).export(tmp_path / "net.onnx", mean=True)


def test_an_error_of_an_ordinary_row_is_found_beside_rows_of_large_numbers(rng):
    net, X = MLP((4, 8, 3), random_state=0), rng.normal(size=(30, 4)).astype(np.float32)
    X[:2] *= 1e3
    outputs, error = net.predict(X), rounding_error(net, X)
    assert_exported(outputs, outputs, error)
    for row in (0, 20):
        wrong = outputs.copy()
        wrong[row] += 1e-3 * np.abs(wrong[row]).max()
        with pytest.raises(AssertionError, match=f"row {row} differs"):
            assert_exported(wrong, outputs, error)
