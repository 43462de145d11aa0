"""Validation of arrays: accepted inputs become one memory layout, others raise a readable error."""

import warnings

import numpy as np
import pytest
import scipy.sparse

from fastmlp.data import validation
from fastmlp.data.population_data import validated_population_samples
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD
from fastmlp.network.spec import Network

N = 6
VALUES = np.arange(N * 3).reshape(N, 3) / 4.0


def network(k=1, loss="squared_error", output=None, label_smoothing=0.0):
    return Network.build((3, k), "relu", output, loss, 0.0, 0.0, label_smoothing, 1.0)


def features(X, dtype=np.float32, n_features=3):
    return validation.as_features(X, n_features, np.dtype(dtype))


def targets(y, net, n=N, dtype=np.float32):
    return validation.as_targets(y, net, np.dtype(dtype), n)


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_samples", [100, 9000, 40_000])  # sizes checked by BLAS, by NumPy and by a kernel
def test_one_non_finite_value_is_located(n_samples, dtype):
    X = np.full((n_samples, 3), 1e20, dtype)
    assert validation.as_features(X, 3, np.dtype(dtype)) is X, (
        "finite values must not be copied or refused, although sums of squares overflow"
    )
    for bad in (np.nan, np.inf, -np.inf):
        X[n_samples // 2, 1] = bad
        message = rf"1 of its {X.size:,} values is NaN or infinite, the first at \({n_samples // 2}, 1\)"
        with pytest.raises(ValueError, match=message):
            validation.as_features(X, 3, np.dtype(dtype))


def test_finite_values_with_an_overflowing_sum_are_accepted():
    """The sum overflows, although every value is finite."""
    X = np.full((4, 3), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert features(X).shape == (4, 3)


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


# ---- targets


def test_class_indices_become_one_hot():
    net = network(3, "softmax_cross_entropy")
    expected = np.eye(3)[[0, 2, 1, 1, 0, 2]]
    for y in ([0, 2, 1, 1, 0, 2], [[0], [2], [1], [1], [0], [2]], np.array([0, 2, 1, 1, 0, 2], np.float32)):
        np.testing.assert_array_equal(targets(y, net), expected)
    np.testing.assert_array_equal(targets(expected, net), expected)


@pytest.mark.parametrize(
    "output, low, high",
    [("tanh", -1, 1), ("sigmoid", 0, 1), ("symmetric_sigmoid", -0.5, 0.5), ("identity", 0, 1), ("relu", 0, 1)],
)
def test_one_hot_values_follow_the_range_of_the_output(output, low, high):
    np.testing.assert_array_equal(targets([1, 0], network(2, output=output), 2), [[low, high], [high, low]])


def test_targets_of_one_output_become_a_column():
    y = np.arange(N) / 8
    for given in (y, y[:, None], y.tolist()):
        np.testing.assert_array_equal(targets(given, network()), y[:, None])


CLASSES = ("softmax_cross_entropy", 3)
NOT_TARGETS = [
    ("another length", ("squared_error", 1), np.zeros(5), "y has 5 samples, but X has 6"),
    ("another length in rows", ("squared_error", 2), np.zeros((7, 2)), "y has 7 samples, but X has 6"),
    ("empty", ("squared_error", 1), [], "y has 0 samples, but X has 6"),
    (
        "too wide",
        ("squared_error", 1),
        np.zeros((6, 2)),
        r"y must have shape \(6, 1\) or \(6,\), but it has shape \(6, 2\)",
    ),
    ("too narrow", CLASSES, np.zeros((6, 2)), r"y must have shape \(6, 3\) or \(6,\) with class numbers"),
    ("a cube", ("squared_error", 1), np.zeros((6, 1, 1)), r"y must have shape \(6, 1\)"),
    ("NaN", ("squared_error", 1), [0, 1, np.nan, 0, 1, 0], r"y must be finite .* the first at \(2,\)"),
    ("above float32", ("squared_error", 1), [0, 1, 1e300, 0, 1, 0], r"y must fit into float32, but it holds 1e\+300"),
    ("inf", ("squared_error", 2), np.full((6, 2), np.inf), r"y must be finite .* the first at \(0, 0\)"),
    ("NaN among classes", CLASSES, [0, 1, np.nan, 0, 1, 0], "y must be finite"),
    ("class too high", CLASSES, [0, 1, 3, 0, 1, 0], "y must hold class numbers from 0 to 2 .* but it holds 0 to 3"),
    ("class below 0", CLASSES, [0, 1, -1, 0, 1, 0], "y must hold class numbers from 0 to 2 .* but it holds -1 to 1"),
    ("class far too high", CLASSES, [0, 1, 2.0**70, 0, 1, 0], "y must hold class numbers .* it holds 0 to 1.18"),
    ("half a class", CLASSES, [0, 1, 0.5, 0, 1, 0], "class numbers, whole numbers from 0 to 2; it holds fractions"),
    ("text", CLASSES, list("abcabc"), "y must hold numbers"),
    ("no distribution", CLASSES, np.full((6, 3), 0.5), "each row of y must be a distribution that sums to 1"),
    (
        "negative share",
        CLASSES,
        np.tile([1.5, -0.5, 0], (6, 1)),
        "defined for targets from 0 to 1, but y holds -0.5 to 1.5",
    ),
    ("no probability", ("binary_cross_entropy", 1), [0, 1, 2, 0, 1, 0], "targets from 0 to 1, but y holds 0 to 2"),
    ("minus one", ("binary_cross_entropy", 1), [-1, 1, 1, -1, 1, 1], "targets from 0 to 1, but y holds -1 to 1"),
    (
        "negative count",
        ("poisson", 1),
        [-1, 1, 2, 0, 1, 0],
        "'poisson' is defined for targets of at least 0, but y holds -1",
    ),
]


@pytest.mark.parametrize("which, y, message", [row[1:] for row in NOT_TARGETS], ids=[row[0] for row in NOT_TARGETS])
def test_invalid_targets_raise(which, y, message):
    loss, k = which
    with pytest.raises(ValueError, match=message):
        targets(y, network(k, loss))


# ---- what "right" means


@pytest.mark.parametrize(
    "loss, output, y, metric",
    [
        ("softmax_cross_entropy", None, [0, 1], METRIC_ARGMAX),
        ("binary_cross_entropy", None, [[0, 1], [1, 0]], METRIC_ARGMAX),
        ("binary_cross_entropy", None, [[1, 1], [1, 0]], METRIC_THRESHOLD),
        ("binary_cross_entropy", None, [[0.5, 1], [1, 0]], METRIC_NONE),
        ("squared_error", "tanh", [[-1, 1], [1, -1]], METRIC_ARGMAX),
        ("squared_error", "tanh", [[0, 1], [1, 0]], METRIC_NONE),
        ("squared_error", "identity", [[0, 1], [1, 0]], METRIC_NONE),
        ("poisson", None, [[0, 1], [1, 0]], METRIC_NONE),
    ],
)
def test_metric_follows_from_loss_output_and_targets(loss, output, y, metric):
    net = network(2, loss, output)
    assert validation.metric_of(targets(y, net, 2), net) == metric


def test_metric_of_one_output_is_a_threshold():
    net = network(1, "binary_cross_entropy")
    assert validation.metric_of(targets([0, 1], net, 2), net) == METRIC_THRESHOLD


# ---- weights


def weights(sample_weight=None, class_weight=None, y=(0, 1, 2, 0, 0, 0), loss="softmax_cross_entropy", k=3):
    net = network(k, loss)
    coded = targets(np.array(y), net)
    metric = validation.metric_of(coded, net)
    return validation.as_weights(sample_weight, class_weight, coded, net, metric, np.dtype(np.float64))


def test_masked_entries_raise():
    masked = np.ma.masked_array(np.ones((3, 2)), mask=[[0, 1], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="X has masked entries"):
        validation.as_numbers(masked, "X")


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


# ---- label smoothing and parts


def test_label_smoothing_mixes_targets_with_the_uniform_distribution():
    net = network(4, "softmax_cross_entropy", label_smoothing=0.2)
    made = validation.validated_samples(VALUES[:2], [1, 3], net, np.dtype(np.float64))
    np.testing.assert_allclose(made.Y.reshape(2, 4), [[0.05, 0.85, 0.05, 0.05], [0.05, 0.05, 0.05, 0.85]])
    single = validation.validated_samples(VALUES[:2], [1, 3], net, np.dtype(np.float32))
    assert single.Y.dtype == np.float32


def test_select_rows_rescales_weights_to_mean_one():
    net = network(1)
    data = validation.validated_samples(VALUES, np.arange(N) / 8, net, np.dtype(np.float64), [1, 2, 3, 0, 0, 0])
    part = validation.select_rows(data, np.array([5, 1, 2]))
    assert part.n_samples == 3
    np.testing.assert_array_equal(part.X.reshape(3, 3), VALUES[[5, 1, 2]])
    np.testing.assert_array_equal(part.Y, np.array([5, 1, 2]) / 8)
    np.testing.assert_allclose(part.weight, np.array([0, 2, 3]) * 3 / 5)


def test_select_rows_of_zero_weight_raises():
    data = validation.validated_samples(VALUES, np.arange(N) / 8, network(1), np.dtype(np.float64), [1, 2, 3, 0, 0, 0])
    with pytest.raises(ValueError, match="weight"):
        validation.select_rows(data, np.array([3, 4]))


def test_samples_are_flat_arrays_with_flags():
    net = network(3, "softmax_cross_entropy")
    data = validation.validated_samples(VALUES, [0, 1, 2, 0, 1, 2], net, np.dtype(np.float32))
    assert (data.n_samples, data.has_targets, data.has_weights, data.metric) == (N, True, False, METRIC_ARGMAX)
    assert (data.X.shape, data.Y.shape, data.weight.shape) == ((18,), (18,), (0,))
    inputs = validation.inputs_only(features(VALUES))
    assert (inputs.n_samples, inputs.has_targets, inputs.has_weights, inputs.metric) == (N, False, False, METRIC_NONE)


@pytest.mark.parametrize("many", (False, True))
def test_weights_with_an_overflowing_sum_are_scaled(many):
    weight = np.array([1e308, 1e308, 5e307, 0.0])
    x, y, f8 = np.zeros((4, 3)), np.array([0, 1, 0, 1]), np.dtype("float64")
    if many:
        found = validated_population_samples(x, y, network(), f8, 3, np.tile(weight, (3, 1)))[0].weight.reshape(3, 4)[1]
    else:
        found = validation.validated_samples(x, y, network(), f8, weight).weight
    np.testing.assert_allclose(found, np.array([1.0, 1.0, 0.5, 0.0]) * 4 / 2.5)


@pytest.mark.parametrize(
    "value, message",
    [(10**400, "fit into float64, but it holds a larger one"), (1 + 2j, "Pass real and imaginary parts as columns")],
)
def test_huge_integers_and_complex_numbers_raise(value, message):
    with pytest.raises(ValueError, match=message):
        features([[0, 1, 2], [value, 2, 3]])
