"""Validation of arrays: accepted inputs become one memory layout, others raise a readable error."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from checked_data import VALUES, N, features, network

from fastmlp.data import checked_samples
from fastmlp.data.arrays import as_numbers
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
    "tuple": lambda _: tuple(map(tuple, VALUES.tolist())),
    "object": lambda _: VALUES.astype(object),
    "Fortran order": lambda _: np.asfortranarray(VALUES),
    "every other row": lambda _: np.repeat(VALUES, 2, axis=0)[::2],
    "reversed": lambda _: VALUES[::-1][::-1],
    "read-only": lambda _: read_only(),
    "broadcast": lambda _: np.broadcast_to(VALUES, (1, N, 3))[0],
    "pandas": lambda _: frame(),
    "sparse": lambda _: scipy.sparse.csr_matrix(VALUES),
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
    ("dates", np.array([["2020-01-01"] * 3], "M8[D]"), "X must hold numbers"),
    ("nothing", None, "X must"),
    ("a number", 3.0, r"X must have shape \(n_samples, 3\), but it has shape \(\)"),
    ("one sample", [1.0, 2.0, 3.0], r"X must have shape \(n_samples, 3\), but it has shape \(3,\).*X\[None, :\]"),
    ("a cube", VALUES[None], r"X must have shape \(n_samples, 3\), but it has shape \(1, 6, 3\)"),
    ("empty", np.empty((0, 3)), r"X must have at least one sample, but its shape is \(0, 3\)"),
    ("two features", VALUES[:, :2], "X has 2 features, but the net has 3 inputs.*layer_sizes start with 2"),
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


def test_masked_entries_raise():
    masked = np.ma.masked_array(np.ones((3, 2)), mask=[[0, 1], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="X has masked entries"):
        as_numbers(masked, "X")


@pytest.mark.parametrize(
    "value, message",
    [(10**400, "fit into float64, but it holds a larger one"), (1 + 2j, "Pass real and imaginary parts as columns")],
)
def test_huge_integers_and_complex_numbers_raise(value, message):
    with pytest.raises(ValueError, match=message):
        features([[0, 1, 2], [value, 2, 3]])


@pytest.mark.parametrize(
    "cell",
    (
        np.datetime64("NaT", "D"),
        np.datetime64("2020-01-01"),
        np.timedelta64("NaT", "s"),
        np.timedelta64(3, "s"),
        np.complex64(1),
    ),
    ids=repr,
)
def test_dates_durations_and_complex_numbers_among_objects_raise(cell):
    """NumPy converts them to numbers without an error."""
    with pytest.raises(ValueError, match=r"X must hold numbers, but it holds np\..* at \(1, 0\)"):
        as_numbers(np.array([[1.0, 2.0], [cell, 3.0]], object), "X")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_samples", [100, 9000, 40_000])  # sizes checked by BLAS, by NumPy and by a kernel
def test_one_non_finite_value_is_located(n_samples, dtype):
    X = np.full((n_samples, 3), 1e20, dtype)
    assert checked_samples.as_features(X, 3, np.dtype(dtype)) is X, (
        "finite values must not be copied or refused, although sums of squares overflow"
    )
    for bad in (np.nan, np.inf, -np.inf):
        X[n_samples // 2, 1] = bad
        message = rf"1 of its {X.size:,} values is NaN or infinite, the first at \({n_samples // 2}, 1\)"
        with pytest.raises(ValueError, match=message):
            checked_samples.as_features(X, 3, np.dtype(dtype))


def test_finite_values_with_an_overflowing_sum_are_accepted():
    """The sum overflows, although every value is finite."""
    X = np.full((4, 3), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert features(X).shape == (4, 3)


# ---- samples


def test_label_smoothing_mixes_targets_with_the_uniform_distribution():
    net = network(4, "softmax_cross_entropy", label_smoothing=0.2)
    made, _ = checked_samples.validated_samples(VALUES[:2], [1, 3], net, np.dtype(np.float64))
    np.testing.assert_allclose(made.Y.reshape(2, 4), [[0.05, 0.85, 0.05, 0.05], [0.05, 0.05, 0.05, 0.85]])
    single, _ = checked_samples.validated_samples(VALUES[:2], [1, 3], net, np.dtype(np.float32))
    assert single.Y.dtype == np.float32


def test_select_rows_rescales_weights_to_mean_one():
    net = network(1)
    data, _ = checked_samples.validated_samples(VALUES, np.arange(N) / 8, net, np.dtype(np.float64), [1, 2, 3, 0, 0, 0])
    part = checked_samples.select_rows(data, np.array([5, 1, 2]))
    assert part.n_samples == 3
    np.testing.assert_array_equal(part.X.reshape(3, 3), VALUES[[5, 1, 2]])
    np.testing.assert_array_equal(part.Y, np.array([5, 1, 2]) / 8)
    np.testing.assert_allclose(part.weight, np.array([0, 2, 3]) * 3 / 5)


def test_select_rows_of_zero_weight_raises():
    data, _ = checked_samples.validated_samples(
        VALUES, np.arange(N) / 8, network(1), np.dtype(np.float64), [1, 2, 3, 0, 0, 0]
    )
    with pytest.raises(ValueError, match="weight"):
        checked_samples.select_rows(data, np.array([3, 4]))


def test_samples_are_flat_arrays_with_flags():
    net = network(3, "softmax_cross_entropy")
    data, _ = checked_samples.validated_samples(VALUES, [0, 1, 2, 0, 1, 2], net, np.dtype(np.float32))
    assert (data.n_samples, data.has_targets, data.has_weights, data.metric) == (N, True, False, METRIC_ARGMAX)
    assert (data.X.shape, data.Y.shape, data.weight.shape) == ((18,), (18,), (0,))
    inputs = checked_samples.inputs_only(features(VALUES))
    assert (inputs.n_samples, inputs.has_targets, inputs.has_weights, inputs.metric) == (N, False, False, METRIC_NONE)
