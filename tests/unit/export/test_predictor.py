"""What is exported: labels, the mean of several nets, and what is refused."""

import numpy as np
import pytest
from exported_outputs import c_outputs, onnx_outputs

from fastmlp import MLP, Population
from fastmlp.export.predictor import PROBABILITIES, Predictor, checked_labels


@pytest.mark.parametrize(
    "labels, expected",
    [
        (np.array(["b", "a"]), np.array(["b", "a"], object)),
        (np.array(["b", "a"], object), np.array(["b", "a"], object)),
        (np.array([3, 1], object), np.array([3, 1], np.int64)),
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
        Predictor(net.network, net.params)


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
