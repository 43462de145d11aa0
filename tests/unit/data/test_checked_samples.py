"""Validation of arrays: accepted inputs become one memory layout, others raise a readable error."""

import numpy as np
import pytest
import scipy.sparse
from checked_data import VALUES, N, features, network

from fastmlp.data import checked_samples
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE

# ---- features


def frame():
    return pytest.importorskip("pandas").DataFrame(VALUES, columns=list("abc"))


def read_only():
    values = VALUES.copy()
    values.flags.writeable = False
    return values


def mapped(folder):
    stored = np.memmap(folder / "X", np.float64, "w+", shape=VALUES.shape)
    stored[:] = VALUES
    return stored


class DLPackOnly:
    """A tensor that supports DLPack but not NumPy's protocols."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **settings):
        return self._array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


ACCEPTED = {
    "float64": lambda _: VALUES,
    "float32": lambda _: VALUES.astype(np.float32),
    "float16": lambda _: VALUES.astype(np.float16),
    "big-endian": lambda _: VALUES.astype(">f8"),
    "list": lambda _: VALUES.tolist(),
    "list of arrays": lambda _: list(VALUES),
    "tuple": lambda _: tuple(map(tuple, VALUES.tolist())),
    "object": lambda _: VALUES.astype(object),
    "Fortran order": lambda _: np.asfortranarray(VALUES),
    "every other row": lambda _: np.repeat(VALUES, 2, axis=0)[::2],
    "every other column": lambda _: np.repeat(VALUES, 2, axis=1)[:, ::2],
    "reversed": lambda _: VALUES[::-1][::-1],
    "read-only": lambda _: read_only(),
    "broadcast": lambda _: np.broadcast_to(VALUES, (1, N, 3))[0],
    "pandas": lambda _: frame(),
    "sparse": lambda _: scipy.sparse.csr_matrix(VALUES),
    "sparse array": lambda _: scipy.sparse.coo_array(VALUES),
    "memory map": mapped,
    "DLPack": lambda _: DLPackOnly(VALUES.copy()),
}


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_kinds_of_features_become_c_contiguous_arrays(make, dtype, tmp_path):
    given = make(tmp_path)
    array = features(given, dtype)
    np.testing.assert_array_equal(array, VALUES)
    assert type(array) is np.ndarray
    assert array.dtype == dtype
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned


@pytest.mark.parametrize("dtype", (np.int8, np.uint8, np.int32, np.int64, np.uint64, bool))
def test_integer_features_are_converted(dtype):
    X = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    np.testing.assert_array_equal(features(X), X)


def test_suitable_features_are_not_copied():
    X = VALUES.astype(np.float32)
    assert np.shares_memory(features(X), X)


def test_one_dimensional_X_is_accepted_for_one_feature():
    assert features([1, 2, 3], n_features=1).shape == (3, 1)


NOT_FEATURES = [
    ("text", [["a", "b", "c"]], "X must hold numbers, but its dtype is <U1.*or use TabularMLPClassifier"),
    ("mixed", [["a", 1, None]], "X must hold numbers, but it holds .a. at.*or use TabularMLPClassifier"),
    ("ragged", [[1, 2, 3], [1, 2]], "X must be an array of numbers, but it cannot be made one"),
    ("complex", VALUES * 1j, "X must hold numbers, but its dtype is complex128"),
    ("dates", np.array([["2020-01-01"] * 3], "M8[D]"), "X must hold numbers"),
    ("nothing", None, "X must"),
    ("a number", 3.0, r"X must have shape \(n_samples, 3\), but it has shape \(\)"),
    ("one sample", [1.0, 2.0, 3.0], r"X must have shape \(n_samples, 3\), but it has shape \(3,\).*X\[None, :\]"),
    ("a cube", VALUES[None], r"X must have shape \(n_samples, 3\), but it has shape \(1, 6, 3\)"),
    ("empty", np.empty((0, 3)), r"X must have at least one sample, but its shape is \(0, 3\)"),
    ("an empty list", [], r"X must have shape \(n_samples, 3\), but it has shape \(0,\)"),
    ("two features", VALUES[:, :2], "X has 2 features, but the net has 3 inputs.*layer_sizes start with 2"),
    ("no feature", np.empty((6, 0)), "X has 0 features, but the net has 3 inputs"),
    (
        "NaN",
        np.where(VALUES == 1.0, np.nan, VALUES),
        r"X must be finite in float32, but 1 of its 18 .* the first at \(1, 1\)",
    ),
    (
        "inf",
        np.where(VALUES > 4, np.inf, VALUES),
        r"X must be finite in float32, but 1 of its 18 .* the first at \(5, 2\)",
    ),
    ("both infinities", np.where(VALUES > 3.9, [[np.inf, -np.inf, 0]], VALUES), "X must be finite in float32, but"),
    (
        "above float32",
        VALUES * 1e39,
        r"X must fit into float32, but it holds 5e\+38 at .* Use dtype='float64', or scale",
    ),
]


@pytest.mark.parametrize("values, message", [row[1:] for row in NOT_FEATURES], ids=[row[0] for row in NOT_FEATURES])
def test_invalid_features_raise(values, message):
    with pytest.raises(ValueError, match=message):
        features(values)


# ---- samples


def test_label_smoothing_mixes_targets_with_the_uniform_distribution():
    net = network(4, "softmax_cross_entropy", label_smoothing=0.2)
    made = checked_samples.validated_samples(VALUES[:2], [1, 3], net, np.dtype(np.float64))
    np.testing.assert_allclose(made.Y.reshape(2, 4), [[0.05, 0.85, 0.05, 0.05], [0.05, 0.05, 0.05, 0.85]])
    single = checked_samples.validated_samples(VALUES[:2], [1, 3], net, np.dtype(np.float32))
    assert single.Y.dtype == np.float32


def test_select_rows_rescales_weights_to_mean_one():
    net = network(1)
    data = checked_samples.validated_samples(VALUES, np.arange(N) / 8, net, np.dtype(np.float64), [1, 2, 3, 0, 0, 0])
    part = checked_samples.select_rows(data, np.array([5, 1, 2]))
    assert part.n_samples == 3
    np.testing.assert_array_equal(part.X.reshape(3, 3), VALUES[[5, 1, 2]])
    np.testing.assert_array_equal(part.Y, np.array([5, 1, 2]) / 8)
    np.testing.assert_allclose(part.weight, np.array([0, 2, 3]) * 3 / 5)


def test_select_rows_of_zero_weight_raises():
    data = checked_samples.validated_samples(
        VALUES, np.arange(N) / 8, network(1), np.dtype(np.float64), [1, 2, 3, 0, 0, 0]
    )
    with pytest.raises(ValueError, match="weight"):
        checked_samples.select_rows(data, np.array([3, 4]))


def test_samples_are_flat_arrays_with_flags():
    net = network(3, "softmax_cross_entropy")
    data = checked_samples.validated_samples(VALUES, [0, 1, 2, 0, 1, 2], net, np.dtype(np.float32))
    assert (data.n_samples, data.has_targets, data.has_weights, data.metric) == (N, True, False, METRIC_ARGMAX)
    assert (data.X.shape, data.Y.shape, data.weight.shape) == ((18,), (18,), (0,))
    inputs = checked_samples.inputs_only(features(VALUES))
    assert (inputs.n_samples, inputs.has_targets, inputs.has_weights, inputs.metric) == (N, False, False, METRIC_NONE)
